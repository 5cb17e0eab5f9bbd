"""The parts of benchmark.py, growth.py and against_pytorch.py: who trains, who is timed, and what is shown of it."""
