"""Planted faults whose code has a name: native functions, garbage, a lock's keeper. Python 3.8 to 3.13."""

from __future__ import annotations

import gc
import hashlib
import re
import threading
import time

from truth import measured

_lock = threading.Lock()
_keeper = None
_kept = []


class Node:
    """Garbage that only the collector can free: it refers to itself."""

    def __init__(self):
        self.itself = self


def _until(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        yield


def regex(seconds, body):
    """Match a pattern that backtracks."""
    with measured("cpu"):
        for _ in _until(seconds):
            re.match(r"(a+)+$", "a" * 16 + "b")
    return b"ok"


def sort(seconds, body):
    """Sort."""
    numbers = [n * 7919 % 200_003 for n in range(200_000)]
    with measured("cpu"):
        for _ in _until(seconds):
            sorted(numbers)
    return b"ok"


def password(seconds, body):
    """Hash a password, which is slow on purpose."""
    with measured("cpu"):
        for _ in _until(seconds):
            hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 20_000)
    return b"ok"


def garbage(seconds, body):
    """Make little garbage, and have it collected among many objects that live."""
    if not _kept:
        _kept.extend([[n] for n in range(200_000)])
    with measured("cpu"):
        for _ in _until(seconds):
            Node()
            gc.collect()
    return b"ok"


def _keep(seconds):
    while True:
        with _lock:
            time.sleep(seconds)
        time.sleep(0.01)


def kept_lock(seconds, body):
    """Wait for a lock that a thread outside of any request keeps."""
    global _keeper  # noqa: PLW0603 - one for the process
    if _keeper is None:
        _keeper = threading.Thread(target=_keep, args=(seconds,), name="cache-keeper", daemon=True)
        _keeper.start()
        time.sleep(0.01)
    with measured("lock"):
        _lock.acquire()
    _lock.release()
    return b"ok"


CODING = (regex, sort, password, garbage, kept_lock)
