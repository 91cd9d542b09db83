"""A CPython read from outside, by its memory alone: code, threads, stacks, lock, collector. No probe is here."""
