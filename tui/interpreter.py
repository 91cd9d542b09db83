"""How the interpreter that perfwatch runs in shares its time between keys, records and garbage.

Most of what is made here is freed when nothing refers to it any more. What is left to the garbage collector, cycles,
is little; but whenever it looks through all objects, nothing else can run: with a session of 1,000 requests/s in
memory, 0.1 s of every 5.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

_SWITCH_S: Final = 0.001
"""How long the thread that judges may keep the interpreter from the one that answers keys; Python's own is 5 ms."""
_GENERATIONS: Final = (10_000, 20, 50)
"""How many objects more than before make a young collection due, how many of these an older one, and so on; Python's
own are 700, 10 and 10."""


def load_soon() -> None:
    """Collect nothing while modules are imported: all of it stays."""
    gc.disable()


def answer_soon() -> None:
    """Let a key wait neither for a long turn of another thread nor for the garbage collector."""
    sys.setswitchinterval(_SWITCH_S)
    gc.set_threshold(*_GENERATIONS)
    gc.freeze()
    gc.enable()


def stand() -> None:
    """Take all that there is for what stays, if the collector is ours to set: screens, modules that came late."""
    if gc.get_freeze_count():
        gc.freeze()
