"""Pauses by the garbage collector of CPython, seen from outside by the flag that says that it runs."""
