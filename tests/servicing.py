"""`perfwatch record --service` as a user runs it, real servers that come and go under it, and what it recorded."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil
import serving
import sessions
from recording import PERFWATCH
from waiting import until

from perfwatch.agent import bookmarks
from perfwatch.agent.service import segments
from perfwatch.agent.service.directory import SUFFIX, Directory
from perfwatch.agent.service.settings import Settings
from perfwatch.agent.session.reader import SessionReader
from perfwatch.probes.records import ServedRequest

END_S = 90
MB = 1_000_000


@dataclass(frozen=True)
class Running:
    """A service that runs."""

    process: subprocess.Popen[bytes]
    directory: Path
    log: Path

    @property
    def said(self):
        """All that it said so far."""
        return self.log.read_text()

    def await_said(self, words, times=1):
        """Wait until it has said some words so many times."""

        def is_said():
            assert self.process.poll() is None or words in self.said, self.said
            return self.said.count(words) >= times

        until(is_said, pause_s=0.05, patience_s=END_S, told=lambda: f"{words!r} in {self.said}")

    def said_with(self, words):
        """What it has said when it has said some words."""
        self.await_said(words)
        return self.said

    def await_recorded(self, *paths):
        """Wait until requests are in the files."""
        wanted = set(paths)
        until(lambda: wanted <= recorded(self.directory), pause_s=0.1, patience_s=END_S, told=lambda: self.said)

    @property
    def recorders(self):
        """The processes that record, one for each server."""
        return psutil.Process(self.process.pid).children()

    def stop(self):
        """End it as systemd does; asserts that it ends cleanly."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(END_S) == 0, self.said


@contextlib.contextmanager
def service(directory, *options):
    """Run the service; what was not stopped in the block is killed, with its recorders."""
    with tempfile.NamedTemporaryFile(prefix="perfwatch-service-") as log:
        command = [PERFWATCH, "record", "--service", "--dir", directory, *map(str, options)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        running = Running(process, Path(directory), Path(log.name))
        try:
            yield running
        finally:
            end(running)


def end(running):
    """Kill a service, and wait until its recorders have ended too."""
    left = []
    if running.process.poll() is None:
        left = running.recorders
        running.process.kill()
    running.process.wait()
    _, alive = psutil.wait_procs(left, END_S)
    assert not alive


@contextlib.contextmanager
def faulty(address):
    """Run the faulty server on an address, of its own process alone."""
    with serving.running([sys.executable, "faulty.py", address.rpartition(":")[2]], address) as server:
        yield server


def files(directory):
    """The segments in the order of their names."""
    return sorted(path for path in Path(directory).iterdir() if path.name.endswith(SUFFIX))


def recorded(directory):
    """Paths of the requests that were recorded."""
    found = set()
    for path in files(directory):
        with contextlib.suppress(FileNotFoundError), SessionReader(path) as reader:
            assert not (reader.note or "").startswith("damaged"), reader.note
            found |= {record.target for record in reader.records() if isinstance(record, ServedRequest)}
    return found


def kept(directory):
    """Segments that are kept for good, and why."""
    return {path: [one.note for one in bookmarks.Bookmarks(path).all] for path in files(directory) if _has_marks(path)}


def blocks_bytes(directory):
    """What a directory's files take on the disk."""
    return sum(entry.stat(follow_symlinks=False).st_blocks * 512 for entry in os.scandir(directory))


def _has_marks(path):
    return bookmarks.beside(path).exists()


def busy_second(number, requests):
    """All records of a second that does not compress away: each request's path is another."""
    return [
        msgspec.structs.replace(record, target=f"/{os.urandom(400).hex()}")
        if isinstance(record, ServedRequest)
        else record
        for record in sessions.second_of(number, requests)
    ]


@contextlib.contextmanager
def open_segments(path, live=None, **settings):
    """Segments of one recording, and what they said."""
    said = []
    settings = {"segment_bytes": MB, "total_bytes": 32 * MB} | settings
    with contextlib.closing(Directory(Path(path))) as directory:
        meant = Settings(str(path), **settings)
        yield segments.Segments("shop", sessions.INFO, directory, meant, said.append, live=live), said


if __name__ == "__main__":  # a recorder that writes as fast as it can, and says how many records it was given
    segments.COMMIT_S = 0.0
    with open_segments(sys.argv[1], total_bytes=int(sys.argv[2]), segment_bytes=MB) as (many, told):
        many._label, total = sys.argv[3], 0
        for second in range(80):
            batch = busy_second(second, 300)
            many.take(batch)
            total += len(batch)
        many.close("over")
        print(total, *told)
