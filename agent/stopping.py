"""How a recording is told to end: Ctrl-C and SIGTERM set an event instead of tearing through what is being written."""

from __future__ import annotations

import _thread
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def heeded_signals() -> tuple[signal.Signals, ...]:
    """Return SIGNALS, but not a SIGHUP that this process was started to ignore, by nohup.

    An ignored SIGINT is heeded: scripts start what runs in the background so, and still end it by that signal.
    """
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(number for number in SIGNALS if not (is_nohup and number == signal.SIGHUP))


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Give an event that SIGINT, SIGTERM and SIGHUP set; only in the main thread. The old handlers come back.

    What nohup started goes on after the terminal is gone.
    """
    stop = threading.Event()

    def end(*_: object) -> None:
        # Not here: the signal may have come while this very thread was in `stop.wait`, with the event's lock in hand.
        _thread.start_new_thread(stop.set, ())

    before = {number: signal.signal(number, end) for number in heeded_signals()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
