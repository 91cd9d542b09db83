"""How the interpreter that perfwatch runs in shares its time between keys, records and garbage.

One thread at a time runs Python. The one that answers keys and paints works for some 10 ms now and then; the one that
reads and judges records does so for longer, and may wait. Python treats them alike: who waits for the other gets its
turn after an interval. So the interval is short while the first one waits for work, and long while it has some.

The garbage collector would keep both from running (`heap.py`).
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
from typing import TYPE_CHECKING, Final

from perfwatch.agent import heap

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from selectors import SelectorKey

_TO_ANSWER_S: Final = 0.000_2
"""How long the one that answers waits for its turn; Python's own is 5 ms."""
_TO_JUDGE_S: Final = 0.1
"""How long others wait for theirs: longer than any paint takes, or it is interrupted, for as long."""


class _Turns(selectors.DefaultSelector):
    """Waits for work for the thread that answers; what is between two waits is its work."""

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait; be quick to go on."""
        sys.setswitchinterval(_TO_ANSWER_S)
        try:
            return super().select(timeout)
        finally:
            sys.setswitchinterval(_TO_JUDGE_S)


def load_soon() -> None:
    """Collect nothing while modules are imported: all of it stays."""
    gc.disable()


def answering(screens: Coroutine[None, None, object]) -> None:
    """Run the screens: no key waits for the garbage collector, nor long for another thread."""
    heap.settle()
    gc.enable()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Turns())) as runner:
        runner.run(screens)


def stand() -> None:
    """Take all that there is for what stays, if the collector is ours to set: screens, modules that came late."""
    if gc.get_freeze_count():
        gc.freeze()
