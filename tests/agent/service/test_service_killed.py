"""The service, or a recorder of it, is killed at any moment; or its disk fills while it records."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import subprocess
import threading
import time

import pytest
import serving
from ledgering import await_unloaded
from servicing import end, files, recorded, service
from waiting import until

from perfwatch.agent.session.reader import SessionReader

pytestmark = pytest.mark.ledger
SAFE_S = 2.5
"""What was answered so long ago is committed: once a second, and 0.1 s until an answer is told to have been the last;
the rest is patience with a machine that is shared."""


class Asking:
    """A client that asks for another path each time, and knows when each was answered."""

    def __init__(self, address):
        self._address, self._over = address, threading.Event()
        self.answered = []
        self._thread = threading.Thread(target=self._ask)

    def _ask(self):
        for number in itertools.count():
            if self._over.wait(0.02):
                return
            serving.get(self._address, f"/fast/{number}")
            self.answered.append((time.monotonic(), f"/fast/{number}"))

    def until(self, at_s):
        """Paths that were answered before a moment."""
        return {path for answered_s, path in self.answered if answered_s < at_s}

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def kill_again_and_again(tmp_path, kills, chance):
    """Kill a recorder, or the whole service; returns what was answered while it surely was recorded."""
    safe = set()
    directory = tmp_path / "r"
    with serving.http_server() as server, Asking(server.address) as asking, contextlib.ExitStack() as stack:
        options = (directory, "--target", f"pid:{server.pid}", "--segment-time", "5s")
        running = stack.enter_context(service(*options))
        for kill in range(kills):
            running.await_said(f"recording process {server.pid}", times=1 if kill % 2 == 0 else 2)
            began_s = time.monotonic()
            time.sleep(chance.uniform(0, SAFE_S + 1.5))
            if kill % 2 == 0:
                (recorder,) = running.recorders
                recorder.kill()
            else:
                end(running)
            killed_s = time.monotonic()
            safe |= asking.until(killed_s - SAFE_S) - asking.until(began_s + 0.5)
            if kill % 2 == 0:
                running.await_said("was killed by signal 9; what it committed is safe")
            else:
                running = stack.enter_context(service(*options))
        running.await_said("recording process", times=1 + kills % 2)
        running.stop()
    assert len(files(directory)) > kills
    assert safe <= recorded(directory), sorted(safe - recorded(directory))
    await_unloaded()


def test_a_recorder_and_a_service_that_are_killed_lose_nothing_that_was_safe(tmp_path):
    kill_again_and_again(tmp_path, 2, random.Random(7))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_kills_lose_nothing_that_was_safe(tmp_path):
    kill_again_and_again(tmp_path, 30, random.Random(11))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_disk_that_fills_is_told_once_and_nothing_is_lost_when_it_has_room_again(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", disk], check=True)
    try:
        with serving.http_server() as server, service(disk / "r", "--target", f"pid:{server.pid}") as running:
            running.await_said("recording process")
            serving.get(server.address, "/fast/before")
            running.await_recorded("/fast/before")
            _take_the_rest(disk)
            with Asking(server.address) as asking:
                running.await_said("the disk is full: nothing more can be recorded into")
                (full,) = files(disk / "r")
                until(lambda: len(asking.answered) > 100, pause_s=0.05)
                (disk / "ballast").unlink()
                running.await_said("there is room again: ")
            running.stop()
            lines = [line for line in running.said.splitlines() if "full" in line or "room" in line]
            assert len(lines) == 2, lines
        missed = asking.until(time.monotonic()) - recorded(disk / "r")
        assert not missed
        with SessionReader(full) as reader:
            assert reader.note == "cut off: it was never finished, and its last second may be missing"
    finally:
        subprocess.run(["umount", disk], check=True)


def _take_the_rest(disk):
    with (disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(b"x" * 4096):
            pass
