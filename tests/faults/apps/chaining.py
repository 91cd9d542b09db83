"""Planted faults that are chains: who waits, waits for one that waits for another. Python 3.8 to 3.13.

Each takes how long it shall last and a function that reads the request's body, and returns the answer's.
"""

from __future__ import annotations

import functools
import os
import threading
import time

from truth import measured

PG = os.environ.get("FAULTY_PG", "")

_report_lock = threading.Lock()
_front_lock = threading.Lock()
_back_lock = threading.Lock()
_kept_lock = threading.Lock()
_keeping = threading.Lock()
_local = threading.local()


def _query(seconds):
    """Have PostgreSQL sleep, on this thread's connection."""
    if not hasattr(_local, "connection"):
        import psycopg2

        _local.connection = psycopg2.connect(PG)
        _local.connection.autocommit = True
    with _local.connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", (seconds,))


def report(seconds, body):
    """Hold a lock over a slow query."""
    with _report_lock, measured("calls"):
        _query(seconds)
    return b"ok"


def needs_report(seconds, body):
    """Wait for the lock that `report` holds."""
    with measured("lock"):
        _report_lock.acquire()
    _report_lock.release()
    return b"ok"


def back(seconds, body):
    """Hold the lock that `middle` waits for, and sleep."""
    with _back_lock, measured("sleep"):
        time.sleep(seconds)
    return b"ok"


def middle(seconds, body):
    """Hold the lock that `front` waits for, and wait for the one that `back` holds."""
    with _front_lock, measured("lock"):
        _back_lock.acquire()
    _back_lock.release()
    return b"ok"


def front(seconds, body):
    """Wait for the lock that `middle` holds."""
    with measured("lock"):
        _front_lock.acquire()
    _front_lock.release()
    return b"ok"


def _keep(seconds):
    while True:
        with _kept_lock:
            _query(seconds)
        time.sleep(0.01)


@functools.lru_cache(None)
def _kept(seconds):
    threading.Thread(target=_keep, args=(seconds,), name="reader", daemon=True).start()


def kept_query(seconds, body):
    """Wait for a lock that a thread outside of any request holds over a slow query."""
    with _keeping:
        _kept(seconds)
    with measured("lock"):
        _kept_lock.acquire()
    _kept_lock.release()
    return b"ok"


_first, _second = threading.Lock(), threading.Lock()
_met = threading.Barrier(2)


def forward(seconds, body):
    """Take two locks, one after the other, once `backward` has the other."""
    with _first:
        _met.wait()
        with _second:
            return b"never"


def backward(seconds, body):
    """Take the same two in the opposite order."""
    with _second:
        _met.wait()
        return _take_first()


def _take_first():
    with _first:
        return b"never"


_third, _fourth = threading.Lock(), threading.RLock()
_both_met = threading.Barrier(2)


class Both:
    """Two locks that are taken without `with`."""

    def __init__(self):
        self._lock = _third

    def take_other(self):
        """Take both, one after the other."""
        self._lock.acquire()
        try:
            _both_met.wait()
            _fourth.acquire()
            _fourth.release()
        finally:
            self._lock.release()
        return b"never"


def acquire_forward(seconds, body):
    """Take two locks by `acquire()`, one after the other, once `acquire_backward` has the other."""
    return Both().take_other()


def acquire_backward(seconds, body):
    """Take the same two in the opposite order; the first in a function that has returned."""
    _take_fourth()
    _both_met.wait()
    _third.acquire()
    _third.release()
    _fourth.release()
    return b"never"


def _take_fourth():
    _fourth.acquire(timeout=60)


CHAINING = (report, needs_report, back, middle, front, kept_query, forward, backward, acquire_forward, acquire_backward)
