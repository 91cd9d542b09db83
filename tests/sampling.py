"""The sampled probe on a real process, for tests: read at its rate in a thread, as the collector does, and ask."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

from ledgering import booked, latency_ns, requests_of
from waiting import until

from perfwatch.agent.target import interpreter_of
from perfwatch.probes.sampled.probe import SampledProbe


class Sampling:
    """A probe that is being read, and all records that it gave so far."""

    def __init__(self, probe):
        self.probe = probe
        self.records = []
        self.cpu_s = 0.0
        self.readings = 0
        self._stop = threading.Event()
        self._error = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        begun_s = time.thread_time()
        due = time.monotonic()
        try:
            while not self._stop.wait(max(due - time.monotonic(), 0)):
                due = max(due + self.probe.period_s, time.monotonic())
                self.records += self.probe.read(time.monotonic_ns())
                self.readings += 1
            self.records += self.probe.drain(time.monotonic_ns())
        except BaseException as error:  # noqa: BLE001 - told by `stop`
            self._error = error
        self.cpu_s = time.thread_time() - begun_s

    def stop(self):
        """Read what is left and end; returns all records."""
        self._stop.set()
        self._thread.join()
        if self._error:
            raise self._error
        return self.records

    def until(self, condition):
        """Wait until `condition(records)` is truthy, and return that."""
        return until(lambda: self._is_read() and condition(list(self.records)), told=lambda: self.records[-5:])

    def _is_read(self):
        if self._error:
            raise self._error
        return True


@contextlib.contextmanager
def sampling(pid):
    """Attach the sampled probe to a process tree and read it until the block ends."""
    with SampledProbe(pid, interpreter_of) as probe:
        reading = Sampling(probe)
        try:
            yield reading
        finally:
            reading.stop()


def slow_of(records, prefix, least_ms=100.0):
    """Return the finished requests of an endpoint that took at least so long."""
    return [
        request
        for request in requests_of(records)
        if (request.target or "").startswith(prefix) and latency_ns(request) >= least_ms * 1e6
    ]


def largest(request):
    """Return the bucket, other than run_queue, with most of a request's time; None for one that is unmatched.

    `unaccounted` where that is more.
    """
    if request.threads != "one":
        return None
    ledger = booked(request)
    ledger["unaccounted"] = latency_ns(request) / 1e6 - sum(ledger.values())
    ledger.pop("run_queue", None)
    return max(ledger, key=ledger.get)


def open_descriptors():
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))
