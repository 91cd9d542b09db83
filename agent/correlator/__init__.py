"""Requests and their context in, verdicts out. Pure: time is the newest record's `at_ns`."""
