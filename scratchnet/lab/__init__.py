"""Fair comparisons: arms, settings, seeds, and what their results allow one to say. Returns numbers, draws nothing."""
