"""What `check.py` knows of each chapter: the right answer, from the package itself, and the mistakes that it names."""
