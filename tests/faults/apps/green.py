"""The faulty server for gevent: with a handler that sleeps in the hub's thread in spite of the patches. WSGI."""

from __future__ import annotations

import gevent.monkey

gevent.monkey.patch_all()

from faulty import app  # noqa: E402 - patched first
from planted import FAULTS  # noqa: E402
from truth import measured  # noqa: E402

__all__ = ["app"]
_really_sleep = gevent.monkey.get_original("time", "sleep")


def block(seconds, body):
    """Sleep without gevent's knowledge, as native code does: nothing else runs meanwhile."""
    with measured("sleep"):
        _really_sleep(seconds)
    return b"ok"


FAULTS["block"] = block
