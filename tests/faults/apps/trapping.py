"""Planted traps: what a first look takes for something else. Python 3.8 to 3.13.

A lock whose holder computes, collects, flushes or calls; sleeps that look like waits for somebody; calls that are many,
and not in turn.
"""

from __future__ import annotations

import gc
import hashlib
import os
import select
import socket
import threading
import time

from truth import measured

PEER = os.environ.get("FAULTY_PEER", "")
DIRECTORY = os.environ.get("FAULTY_DIR", "/var/tmp")
BLOCK = b"\xa5" * (256 << 10)
CALL_TIMEOUT_S = 30
PARALLEL = 8
SHORT_CALLS = 3
OBJECTS = 50_000
_lock = threading.Lock()
_living = []
_local = threading.local()
_hashers = []


def guarded(seconds, body):
    """Wait for the lock that the `hold_...` have, whatever they do with it."""
    with measured("lock"):
        _lock.acquire()
    _lock.release()
    return b"ok"


def hold_computing(seconds, body):
    """Have the lock, and hash: without the interpreter's lock."""
    until = time.thread_time() + seconds
    with _lock, measured("cpu"):
        while time.thread_time() < until:
            hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 20_000)
    return b"ok"


def hold_collecting(seconds, body):
    """Have the lock, and collect garbage among many objects; in between, others get as far as the lock."""
    if not _living:
        gc.freeze()
        _living.extend([[n] for n in range(OBJECTS)])
    until = time.thread_time() + seconds
    with _lock, measured("cpu"):
        while time.thread_time() < until:
            gc.collect()
            time.sleep(0)
    return b"ok"


def hold_flushing(seconds, body):
    """Have the lock, and write to the disk: what waits for the lock does not wait for the disk itself."""
    until = time.monotonic() + seconds
    with _lock, open(os.path.join(DIRECTORY, "guarded"), "wb", buffering=0) as file:  # noqa: PTH118, PTH123
        while time.monotonic() < until:
            with measured("disk"):
                file.seek(0)
                file.write(BLOCK)
                os.fsync(file.fileno())
    return b"ok"


def hold_calling(seconds, body):
    """Have the lock, and ask another process."""
    with _lock, measured("calls"):
        _ask(_peer("holder"), seconds)
    return b"ok"


def beside_hasher(seconds, body):
    """Sleep, while a thread of the same process that is in nobody's way keeps a CPU busy."""
    if not _hashers:
        _hashers.append(threading.Thread(target=_hash_on, name="hasher", daemon=True))
        _hashers[0].start()
    with measured("sleep"):
        time.sleep(seconds)
    return b"ok"


def _hash_on():
    while True:
        hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 100_000)


def select_sleep(seconds, body):
    """Sleep in select without anything to select from."""
    with measured("sleep"):
        select.select([], [], [], seconds)
    return b"ok"


def backing_off(seconds, body):
    """Call briefly, and sleep between the calls: that is what takes the time."""
    for _ in range(SHORT_CALLS):
        with measured("calls"):
            _ask(_peer("backing"), 0.001)
        with measured("sleep"):
            time.sleep(seconds / SHORT_CALLS)
    return b"ok"


def parallel(seconds, body):
    """Ask many at once, and wait for all of the answers: as slow as one of them, and not chatty."""
    peers = [_peer(number) for number in range(PARALLEL)]
    with measured("calls"):
        for peer in peers:
            peer.sendall(b"%d\n" % (seconds * 1000))
        waiting = set(peers)
        while waiting:
            for peer in select.select(list(waiting), [], [], CALL_TIMEOUT_S)[0]:
                peer.recv(100)
                waiting.discard(peer)
    return b"ok"


def _peer(name):
    peers = _local.__dict__.setdefault("peers", {})
    if name not in peers:
        host, _, port = PEER.rpartition(":")
        peers[name] = socket.create_connection((host, int(port)))
    return peers[name]


def _ask(peer, seconds):
    peer.sendall(b"%d\n" % (seconds * 1000))
    return peer.recv(100)


TRAPPING = (
    *(guarded, hold_computing, hold_collecting, hold_flushing, hold_calling),
    *(beside_hasher, select_sleep, backing_off, parallel),
)
