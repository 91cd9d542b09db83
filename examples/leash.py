"""A process that ends with the one that started it, also when that one is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

PARENT: Final = "PERFWATCH_DEMO_PARENT"
"""Environment variable: the PID to end with."""
_PR_SET_PDEATHSIG: Final = 1


def leash() -> None:
    """Have the kernel send SIGTERM to this process when the thread that started it ends.

    A parent that ended before this call is told by its PID in the environment. Does nothing without one.
    """
    parent = os.environ.get(PARENT)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(0)
