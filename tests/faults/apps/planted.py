"""The planted faults: one function each, which waits in one way and clocks it. Python 3.7 to 3.13.

Each takes how long it shall last and a function that reads the request's body, and returns the answer's.
Those that wait for a device repeat themselves until their time is up: disks differ, durations do not.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import mmap
import os
import select
import socket
import subprocess
import threading
import time

from chaining import CHAINING
from coding import CODING
from pooling import POOLING
from trapping import TRAPPING
from truth import measured, native_id

DIRECTORY = os.environ.get("FAULTY_DIR", "/var/tmp")
PEER = os.environ.get("FAULTY_PEER", "")
PEER_UNIX = os.environ.get("FAULTY_PEER_UNIX", "")
PG = os.environ.get("FAULTY_PG", "")
CALL_TIMEOUT_S = 30
BLOCK = b"\xa5" * (256 << 10)
APPENDS = 16
COLD_BYTES = 64 << 20
STRIDE = 128 << 10
DOWNLOAD = b"\0" * (16 << 20)

_cache_lock = threading.Lock()
_lost_lock = threading.Lock()
_lost_lock.acquire()
_local = threading.local()
_pool = concurrent.futures.ThreadPoolExecutor(8)


def burn(seconds):
    """Compute in this thread until it has used so much CPU time."""
    until, total = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        total += sum(range(200))
    return total


def fast(seconds, body):
    """Nothing at all."""
    return b"ok"


def cpu(seconds, body):
    """Own code on the CPU."""
    with measured("cpu"):
        burn(seconds)
    return b"ok"


def gil(seconds, body):
    """CPU-bound threads in one interpreter: this one and three more, a quarter of the work each."""
    others = [_pool.submit(burn, seconds / 4) for _ in range(3)]
    with measured("cpu"):
        burn(seconds / 4)
    for other in others:
        other.result()
    return b"ok"


def sleep(seconds, body):
    """Sleep on a timer."""
    with measured("sleep"):
        time.sleep(seconds)
    return b"ok"


def refresh(seconds, body):
    """Hold the lock that `lock` needs, and sleep."""
    with _cache_lock, measured("sleep"):
        time.sleep(seconds)
    return b"ok"


def lock(seconds, body):
    """Wait for the lock that `refresh` holds."""
    with measured("lock"):
        _cache_lock.acquire()
    _cache_lock.release()
    return b"ok"


def hung(seconds, body):
    """Wait for a lock that nobody releases."""
    _lost_lock.acquire()
    return b"never"


def _locked_file():
    # Another open file description each time: flock belongs to the description.
    return os.open(os.path.join(DIRECTORY, "flocked"), os.O_CREAT | os.O_RDWR, 0o600)  # noqa: PTH118


def flock_hold(seconds, body):
    """Hold the file lock that `flock` needs."""
    descriptor = _locked_file()
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with measured("sleep"):
        time.sleep(seconds)
    os.close(descriptor)
    return b"ok"


def flock(seconds, body):
    """Wait for the file lock."""
    descriptor = _locked_file()
    with measured("lock"):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.close(descriptor)
    return b"ok"


def fsync(seconds, body):
    """Append and flush until the time is up: each flush waits for data and for metadata."""
    until = time.monotonic() + seconds
    name = os.path.join(DIRECTORY, f"fsynced-{native_id()}")  # noqa: PTH118
    descriptor = os.open(name, os.O_CREAT | os.O_RDWR, 0o600)
    while time.monotonic() < until:
        with measured("disk"):
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            for _ in range(APPENDS):
                os.write(descriptor, BLOCK)
                os.fsync(descriptor)
    os.close(descriptor)
    return b"ok"


def major_fault(seconds, body):
    """Touch pages of a mapped file that are not in memory, until the time is up."""
    until = time.monotonic() + seconds
    descriptor = _cold_file()
    while time.monotonic() < until:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(descriptor, COLD_BYTES, prot=mmap.PROT_READ) as pages, measured("fault"):
            sum(pages[::STRIDE])  # one byte each: all in one go, at C speed
    os.close(descriptor)
    return b"ok"


def _cold_file():
    descriptor = os.open(os.path.join(DIRECTORY, "cold"), os.O_CREAT | os.O_RDWR, 0o600)  # noqa: PTH118
    while os.fstat(descriptor).st_size < COLD_BYTES:
        os.pwrite(descriptor, BLOCK, os.fstat(descriptor).st_size)
    os.fsync(descriptor)
    return descriptor


def _peer(timeout_s):
    """This thread's connection to the slow service; a timeout makes Python wait in poll."""
    connections = _local.__dict__.setdefault("peers", {})
    if timeout_s not in connections:
        host, _, port = PEER.rpartition(":")
        connections[timeout_s] = socket.create_connection((host, int(port)), timeout_s)
    return connections[timeout_s]


def _call(peer, seconds, wait=None):
    with measured("calls"):
        peer.sendall(b"%d\n" % (seconds * 1000))
        if wait is not None:
            wait(peer)
        return peer.recv(100)


def call(seconds, body):
    """Ask another process, blocked in the read itself."""
    return _call(_peer(None), seconds)


def call_timeout(seconds, body):
    """Ask another process with a client timeout, as most libraries do."""
    return _call(_peer(CALL_TIMEOUT_S), seconds)


def call_select(seconds, body):
    """Wait for the answer in select."""
    return _call(_peer(None), seconds, lambda peer: select.select([peer], [], [], CALL_TIMEOUT_S))


def call_epoll(seconds, body):
    """Wait for the answer in epoll."""

    def wait(peer):
        with select.epoll() as poller:
            poller.register(peer, select.EPOLLIN)
            poller.poll(CALL_TIMEOUT_S)

    return _call(_peer(None), seconds, wait)


def call_unix(seconds, body):
    """Ask another process over a Unix socket."""
    peer = getattr(_local, "unix", None)
    if peer is None:
        peer = _local.unix = socket.socket(socket.AF_UNIX)
        peer.connect(PEER_UNIX)
    return _call(peer, seconds)


def based(seconds, body):
    """Ask another process, as every time, and then for the lock that `refresh` holds at times."""
    _call(_peer(None), seconds)
    with measured("lock"):
        _cache_lock.acquire()
    _cache_lock.release()
    return b"ok"


def postgres(seconds, body):
    """Have PostgreSQL sleep, through libpq."""
    connection = getattr(_local, "postgres", None)
    if connection is None:
        import psycopg2

        connection = _local.postgres = psycopg2.connect(PG)
        connection.autocommit = True
    with connection.cursor() as cursor, measured("calls"):
        cursor.execute("SELECT pg_sleep(%s)", (seconds,))
    return b"ok"


def child(seconds, body):
    """Wait for a child process."""
    process = subprocess.Popen(["sleep", str(seconds)])
    with measured("child"):
        process.wait()
    return b"ok"


def child_pipe(seconds, body):
    """Read a child's output to its end."""
    process = subprocess.Popen(["sleep", str(seconds)], stdout=subprocess.PIPE)
    with measured("child"):
        process.stdout.read()
    process.communicate()
    return b"ok"


def upload(seconds, body):
    """Read a body that comes slowly."""
    with measured("receive"):
        size = len(body())
    return b"%d" % size


def download(seconds, body):
    """Answer with more than socket buffers hold; the client reads it slowly."""
    return DOWNLOAD


FAULTS = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(
            fast,
            cpu,
            gil,
            sleep,
            refresh,
            lock,
            hung,
            flock_hold,
            flock,
            fsync,
            major_fault,
            upload,
            download,
        ),
        *(call, call_timeout, call_select, call_epoll, call_unix, based, postgres, child, child_pipe),
        *CHAINING,
        *CODING,
        *POOLING,
        *TRAPPING,
    )
}
