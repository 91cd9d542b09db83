"""perfwatch's command line, as a user runs it: record a process, and read the report on it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from perfwatch.examples.starting import has_ended

PERFWATCH = Path(sys.executable).parent / "perfwatch"
SPARE_S = 60
ATTACHED_S = 30
SETTLE_S = 0.1
POLL_S = 0.02


def record_and_report(pid, seconds, *, slow_ms=None, options=()):
    """Record a process for a time, and return the report on it."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-recording-") as directory:
        file = f"{directory}/session"
        told = ["--duration", str(seconds), *_slow(slow_ms), *options, "-o", file]
        perfwatch("record", "--pid", str(pid), *told, timeout_s=seconds + SPARE_S)
        return report_on(file)


@dataclass(frozen=True)
class Recording:
    """A recording that runs until `finish`."""

    process: subprocess.Popen[bytes]
    file: Path
    log: Path

    def finish(self):
        """Interrupt it as Ctrl-C does, and return the report on it."""
        self.stop()
        return report_on(self.file)

    def stop(self):
        """Interrupt it as Ctrl-C does, and wait until its file is whole."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(SPARE_S)
        assert code == 0, f"perfwatch record: exit {code}: {self.log.read_text()}"


@contextlib.contextmanager
def recording(pid, *, slow_ms=None, options=()):
    """Record a process from before the block's first statement; what was not finished in the block is killed."""
    with tempfile.TemporaryDirectory(prefix="perfwatch-recording-") as directory:
        file, log = Path(directory) / "session", Path(directory) / "log"
        with log.open("wb") as output:
            command = [PERFWATCH, "record", "--pid", str(pid), *_slow(slow_ms), *options, "-o", file]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _await_file(process, file, log)
            yield Recording(process, file, log)
        finally:
            process.kill()
            process.wait()


def report_on(file):
    """Return the report on a session file, as JSON says it."""
    report = json.loads(perfwatch("report", str(file), "--json", timeout_s=SPARE_S))
    assert report["schema"] == "perfwatch.report/1"
    return report


def perfwatch(*arguments, timeout_s):
    """Run perfwatch to its end; returns what it wrote to stdout, and fails with what it wrote to stderr."""
    ended = subprocess.run([PERFWATCH, *arguments], capture_output=True, text=True, timeout=timeout_s)
    assert ended.returncode == 0, f"perfwatch {' '.join(arguments)}: exit {ended.returncode}: {ended.stderr}"
    return ended.stdout


def _await_file(process, file, log):
    """Wait for the session file, and a moment for the probes behind it."""
    deadline = time.monotonic() + ATTACHED_S
    while not file.exists() and time.monotonic() < deadline:
        if has_ended(process, POLL_S):
            break
    assert file.exists(), f"perfwatch record made no file: {log.read_text()}"
    assert not has_ended(process, SETTLE_S), f"perfwatch record ended: {log.read_text()}"


def _slow(slow_ms):
    return [] if slow_ms is None else ["--slow-ms", str(slow_ms)]
