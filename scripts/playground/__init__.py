"""The parts of play.py: what is trained, what is seen of it, the sessions, and the server of the page."""
