"""Stacks of Python threads, read from outside without a pause."""
