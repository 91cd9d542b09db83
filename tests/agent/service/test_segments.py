"""The files of one recording, written as fast as they can be: their size and number, what is lost, what is kept."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading

import pytest
import servicing
import sessions
from servicing import MB, blocks_bytes, busy_second, files, kept, open_segments
from waiting import until

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.export.live import Live
from perfwatch.agent.service import segments as of_segments
from perfwatch.agent.service.segment import OpenSegment
from perfwatch.agent.service.triggers import parse
from perfwatch.probes.records import Loss, ServedRequest


class Told:
    """Somebody who is told while it is recorded: which requests, and the totals."""

    def __init__(self):
        self.requests, self.totals = [], None

    def take(self, requests, _schemes, standing):
        self.requests += [request.record.id for request in requests]
        self.totals = standing.totals


needs_mount = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Commit with each batch, and try again at once: the clock is not what is tested."""
    monkeypatch.setattr(of_segments, "COMMIT_S", 0.0)
    monkeypatch.setattr(of_segments, "RETRY_S", 0.0)


def test_a_recording_in_pieces_holds_every_record_once_in_order(tmp_path):
    with open_segments(tmp_path / "r", segment_bytes=200_000) as (segments, said):
        given = [busy_second(number, 40) for number in range(60)]
        for batch in given:
            segments.take(batch)
        segments.close("over")
    assert said == []
    parts = files(tmp_path / "r")
    assert len(parts) > 3
    assert [record for part in parts for record in sessions.read(part)] == list(itertools.chain(*given))
    for before, part in itertools.pairwise(parts):
        with sessions.SessionReader(part) as reader:
            assert (reader.finished, reader.info.previous) == (True, before.name)
        assert part.stat().st_size < 400_000


def _used_bytes(disk):
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


@contextlib.contextmanager
def mounted(disk, size):
    """A small disk of its own: what it has left is told at one moment for all files."""
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


@needs_mount
def test_the_size_holds_at_every_moment_while_several_record(tmp_path):
    most, over = [0], threading.Event()
    with mounted(tmp_path / "disk", "200m") as disk:

        def watch():
            while not over.is_set():
                most[0] = max(most[0], _used_bytes(disk))

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            command = [sys.executable, servicing.__file__, str(disk / "r"), str(8 * MB)]
            writers = [
                subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("a", "b", "c")
            ]
            said = [writer.communicate(timeout=150)[0].split() for writer in writers]
        finally:
            over.set()
            watcher.join()
        assert [writer.returncode for writer in writers] == [0, 0, 0]
        written = sum(int(count) for count, *_ in said)
        left = sum(len(sessions.read(path)) for path in files(disk / "r"))
    assert written > 2 * left > 0  # much was removed again
    assert 3 * MB < most[0] <= 8 * MB  # a commit claims up to 5 MB, and takes less


@needs_mount
def test_a_disk_that_fills_loses_nothing_and_what_waited_is_written_when_there_is_room(tmp_path):
    with mounted(tmp_path / "disk", "6m") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 3 * MB)
        with open_segments(disk / "r") as (segments, said):
            given = []
            while not said:
                given.append(busy_second(len(given), 40))
                segments.take(given[-1])
            assert said[0].startswith("the disk is full: nothing more can be recorded into")
            safe = [record for path in files(disk / "r") for record in sessions.read(path)]
            assert safe == list(itertools.chain(*given))[: len(safe)]
            assert len(safe) >= len(list(itertools.chain(*given[:-1])))
            for _ in range(20):
                given.append(busy_second(len(given), 40))
                segments.take(given[-1])
            assert len(said) == 1
            ballast.unlink()
            given.append(busy_second(len(given), 40))
            segments.take(given[-1])
            assert said[1:] == [f"there is room again: shop is recorded into {files(disk / 'r')[-1].name}"]
            segments.close("over")
        found = [record for path in files(disk / "r") for record in sessions.read(path)]
        assert found == list(itertools.chain(*given))


@needs_mount
def test_others_are_told_once_of_what_was_written_again(tmp_path):
    told = Told()
    given = [sessions.second_of(number) for number in range(9)]
    with (
        mounted(tmp_path / "disk", "6m") as disk,
        open_segments(disk / "r", live=Live(sessions.INFO, [told])) as (segments, said),
    ):
        for batch in given[:4]:
            segments.take(batch)
        with filled(disk):
            segments.take(given[4])
            assert len(said) == 1, "it was written"
        for batch in given[5:]:
            segments.take(batch)
        segments.close("over")
        found = [record for path in files(disk / "r") for record in sessions.read(path)]
    assert found == list(itertools.chain(*given))
    assert told.requests == [record.id for record in found if isinstance(record, ServedRequest)]
    assert told.totals.lost_events == sum(record.lost for record in found if isinstance(record, Loss))
    assert told.totals.late_corrections == 0


def weight(records):
    """How much is lost with them."""
    return sum(record.lost if isinstance(record, Loss) else 1 for record in records)


@contextlib.contextmanager
def filled(disk):
    """Leave no byte of a disk."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    try:
        yield
    finally:
        ballast.unlink()


def test_what_says_how_much_was_lost_is_not_lost_where_trying_again_fails(tmp_path, monkeypatch):
    """A new file can be begun, again and again, and what waits does not fit into it."""
    monkeypatch.setattr(of_segments, "MAX_WAITING", 100)
    told, is_full = Told(), [False]
    given = list(itertools.chain(*(sessions.second_of(number) for number in range(20))))
    commit = OpenSegment.commit

    def refused(segment):
        if is_full[0]:
            raise PerfwatchError("there is no room")
        commit(segment)

    monkeypatch.setattr(OpenSegment, "commit", refused)
    with open_segments(tmp_path / "r", live=Live(sessions.INFO, [told])) as (segments, _):
        segments.take(given[:1])
        is_full[0] = True
        for record in given[1:]:
            segments.take([record])
        is_full[0] = False
        segments.take([])
        segments.close("over")
    found = [record for path in files(tmp_path / "r") for record in sessions.read(path)]
    lost = sum(record.lost for record in found if isinstance(record, Loss) and record.probe == "recorder")
    written = [record for record in found if not (isinstance(record, Loss) and record.probe == "recorder")]
    gone = [record for record in given if record not in written]
    assert len(gone) > 100
    assert lost == weight(gone)
    assert told.totals.lost_events == sum(record.lost for record in found if isinstance(record, Loss))


@needs_mount
def test_what_waits_too_long_for_room_is_told_as_lost(tmp_path, monkeypatch):
    with mounted(tmp_path / "disk", "4m") as disk:
        (disk / "ballast").write_bytes(b"x" * 4_190_000)
        monkeypatch.setattr(of_segments, "MAX_WAITING", 300)
        with open_segments(disk / "r") as (segments, said):
            given = list(itertools.chain(*(sessions.second_of(number) for number in range(60))))
            for record in given:
                segments.take([record])
            assert len(said) == 1
            (disk / "ballast").unlink()
            segments.take([])
            segments.close("over")
        (path,) = files(disk / "r")
        loss, *found = sessions.read(path)
    assert (type(loss), loss.probe, loss.lost) == (Loss, "recorder", weight(given[:-300]))
    assert found == given[-300:]


def test_what_is_kept_is_never_removed_and_leaves_the_rest_its_half(tmp_path):
    settings = {"segment_bytes": MB // 2, "total_bytes": 8 * MB, "keep_on": (parse("slow"),)}
    with open_segments(tmp_path / "r", **settings) as (segments, said):
        number, at_least = 0, set()
        while "half of --max-size" not in said[-1] if said else True:
            segments.keep("because")
            segments.take(busy_second(number, 200))
            number += 1
        at_least = set(kept(tmp_path / "r"))
        for _ in range(30):
            segments.take(busy_second(number, 200))
            number += 1
        segments.close("over")
    assert at_least <= set(files(tmp_path / "r"))
    assert len(at_least) > 3
    assert blocks_bytes(tmp_path / "r") <= 8 * MB


def test_what_is_too_old_goes_with_the_next_segment_and_what_is_kept_or_live_stays(tmp_path):
    with open_segments(tmp_path / "r", segment_bytes=200_000, retain_s=3600.0) as (segments, _):
        numbers = itertools.count()

        def fill(count):
            while len(files(tmp_path / "r")) < count:
                segments.take(busy_second(next(numbers), 40))

        fill(2)
        segments.keep("because")
        segments.take(busy_second(next(numbers), 40))
        fill(5)
        old = files(tmp_path / "r")
        for path in tmp_path.glob("r/*"):
            os.utime(path, (0, 0))
        segments.take(busy_second(next(numbers), 40))  # the live one is new again
        until(lambda: segments.take(busy_second(next(numbers), 40)) or len(set(files(tmp_path / "r")) - set(old)))
        segments.close("over")
    assert set(old[:2]) == set(kept(tmp_path / "r"))
    assert set(files(tmp_path / "r")) & set(old) == {*old[:2], old[4]}
