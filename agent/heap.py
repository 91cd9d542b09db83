"""The garbage collector of perfwatch itself, in programs that take a stream in.

Most of what is made there is freed when nothing refers to it any more. What is left to the collector, cycles, is
little; but whenever it looks through all objects, nothing else can run: with a session of 1,000 requests/s in memory,
0.1 s of every 5.
"""

from __future__ import annotations

import gc
from typing import Final

_GENERATIONS: Final = (10_000, 20, 50)
"""How many objects more than before make a young collection due, how many of these an older one, and so on; Python's
own are 700, 10 and 10."""


def settle() -> None:
    """Collect seldom, and look through nothing that is there by now: modules, mostly."""
    gc.set_threshold(*_GENERATIONS)
    gc.freeze()
