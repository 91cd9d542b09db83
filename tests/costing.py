"""What something may cost, for tests of what could be made to cost much."""

import contextlib
import gc
import time


@contextlib.contextmanager
def at_most(cpu_s):
    """Hold a block to so much CPU time of this process; what other tests left to be collected is no part of it."""
    gc.disable()
    try:
        began = time.process_time()
        yield
        cost_s = time.process_time() - began
    finally:
        gc.enable()
    assert cost_s < cpu_s
