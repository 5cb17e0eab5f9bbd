"""The parts of torture.py: what is tormented, how, and the judge."""
