"""Waiting for what must come true, for tests."""

import time

PATIENCE_S = 30.0
"""As long as a machine with much to do may take for what is done at once elsewhere."""


def until(condition, *, patience_s=PATIENCE_S, pause_s=0.005, told=lambda: ""):
    """Call a condition until it returns something truthy, and return that; `told` says what there was instead."""
    end = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < end, f"not seen within {patience_s} s: {told()}"
        time.sleep(pause_s)
    return found
