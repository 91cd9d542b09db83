"""Moments that one goes to: found again in a recording as they were found live, bounded, and in order."""

import itertools
import random

import pytest
from fake_records import SECOND, generate
from sessions import INFO, START_NS

from perfwatch.agent import marks as module
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.marks import MARK_KINDS, Marks
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.frames import GcPause
from perfwatch.probes.records import TargetChange
from perfwatch.probes.samples import CgroupSample


def all_of(marks, kind):
    found, at_ns = [], -1
    while (at_ns := marks.after(kind, at_ns)) is not None:
        found.append(at_ns)
    return found


def test_moments_come_in_any_order_and_are_found_in_theirs():
    marks, times = Marks(), random.Random(1).sample(range(10**12), 500)
    for at_ns in times + times:
        marks.add("slow", at_ns)
    times.sort()
    assert all_of(marks, "slow") == times
    assert marks.before("slow", times[100]) == times[99]
    assert marks.before("slow", times[0]) is None
    assert marks.after("slow", times[-1]) is None
    assert marks.is_between("slow", times[5], times[5] + 1)
    assert not marks.is_between("slow", times[5] + 1, times[6])
    assert not all_of(marks, "gc")


def test_too_many_are_thinned_out_evenly(monkeypatch):
    monkeypatch.setattr(module, "MAX_MARKS", 100)
    marks = Marks()
    for number in range(5000):
        marks.add("slow", number * SECOND // 4)
    kept = all_of(marks, "slow")
    assert 40 <= len(kept) <= 100
    assert max(after - before for before, after in itertools.pairwise(kept)) < 100 * SECOND


def test_a_time_that_no_clock_tells_is_no_mark():
    marks = Marks()
    marks.add("slow", 1 << 63)
    marks.add("slow", -(1 << 70))
    assert marks.before("slow", 1 << 62) is None


def cgroup(at_ns, throttled_ns):
    fields = dict.fromkeys(CgroupSample.__struct_fields__)
    return CgroupSample(**fields | {"at_ns": at_ns, "path": "/shop", "version": 2, "throttled_ns": throttled_ns})


@pytest.fixture
def stream():
    gc = [GcPause(START_NS + n * SECOND, 4312, 1, 0, 5_000_000 * n, None, 2, None, "probe") for n in range(5)]
    cgroups = [cgroup(START_NS + n * SECOND + 1, n // 3 * 1000) for n in range(9)]
    changes = [
        TargetChange(START_NS + 5, 4312, "attached", ""),
        TargetChange(START_NS + 6, 4312, "executed", "python"),
        TargetChange(START_NS + 7, 4312, "forked", ""),
        TargetChange(START_NS + 29 * SECOND, 4312, "gone", "it ended"),
    ]
    shifted = generate(25)
    return sorted([*gc, *cgroups, *changes, *shifted], key=lambda record: record.at_ns)


def test_a_recording_has_the_marks_that_were_there_live(tmp_path, stream):
    live, correlator = Marks(), Correlator(INFO)
    with SessionWriter(tmp_path / "s", INFO) as writer:
        for number, record in enumerate(stream):
            live.take(record)
            writer.write(record)
            judged = correlator.feed(record)
            live.judged(judged)
            for request in judged:
                writer.write_verdict(request)
            if number % 20 == 0:
                writer.commit()
    again = Marks()
    with SessionReader(tmp_path / "s") as reader:
        index = reader.index(again)
        while not index.is_done:
            index.step()
    for kind in MARK_KINDS:
        assert all_of(again, kind) == all_of(live, kind), kind
    assert len(all_of(live, "slow")) > 10
    assert all_of(live, "error")
    assert all_of(live, "gc") == [START_NS + n * SECOND for n in (2, 3, 4)]
    assert all_of(live, "throttled") == [START_NS + n * SECOND + 1 for n in (3, 6)]
    assert len(all_of(live, "target")) == 2
