"""A recording in Python: typed requests, verdicts and calls, and tables of them; docs/python.md shows it."""
