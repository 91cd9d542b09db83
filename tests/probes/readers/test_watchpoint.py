"""Watchpoints on this very process: each write told once, at its time, by its thread; and nothing is left of them."""

import contextlib
import ctypes
import mmap
import os
import subprocess
import sys
import threading
import time

import pytest
from collecting import NEEDS_WATCHPOINTS
from netting import NEEDS_ROOT, as_nobody, descriptors

from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers import perf_event
from perfwatch.probes.readers.watchpoint import Exit, Watchpoint, Write, check

pytestmark = NEEDS_WATCHPOINTS
REGISTERS = 4
EVENTS_OF_A_PAGE = mmap.PAGESIZE // 32


@pytest.fixture(name="place")
def make_place():
    return ctypes.c_uint32()


@contextlib.contextmanager
def watching(place, pages=1, **where):
    watch = Watchpoint(ctypes.addressof(place), pages=pages, **(where or {"tid": threading.get_native_id()}))
    try:
        yield watch
    finally:
        watch.close()


def test_each_write_is_told_with_its_time_and_thread(place):
    with watching(place) as watch:
        assert list(watch.read()) == []
        times = []
        for value in range(5):
            before_ns = time.monotonic_ns()
            place.value = value % 2
            times.append((before_ns, time.monotonic_ns()))
        events = list(watch.read())
        assert list(watch.read()) == []
    assert [type(event) for event in events] == [Write] * 5
    for event, (before_ns, after_ns) in zip(events, times, strict=True):
        assert before_ns < event.at_ns < after_ns
        assert (event.pid, event.tid) == (os.getpid(), threading.get_native_id())
    assert len({event.after for event in events}) == 1


def test_reading_is_not_writing(place):
    with watching(place) as watch:
        assert [place.value for _ in range(9)] == [0] * 9
        assert list(watch.read()) == []


def test_the_ring_goes_round(place):
    with watching(place) as watch:
        last_ns = 0
        for writes in [100, 27, 1, EVENTS_OF_A_PAGE - 1, 60, 99] * 5:
            for value in range(writes):
                place.value = value
            events = list(watch.read())
            assert [type(event) for event in events] == [Write] * writes
            times = [last_ns, *(event.at_ns for event in events)]
            assert times == sorted(times)
            last_ns = times[-1]


def test_what_there_was_no_room_for_is_told_as_lost(place):
    with watching(place) as watch:
        for value in range(300):
            place.value = value
        first = list(watch.read())
        place.value = 1
        lost, last = watch.read()
    assert len(first) == EVENTS_OF_A_PAGE - 1
    assert lost.number == 300 - len(first)
    assert first[-1].at_ns < lost.at_ns <= last.at_ns


def test_a_thread_is_watched_alone_and_its_end_is_told(place):
    def write():
        go.wait()
        place.value = 1

    go = threading.Event()
    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    with watching(place, tid=threads[0].native_id) as watch:
        go.set()
        for thread in threads:
            thread.join()
        end = time.monotonic() + 5
        events = list(watch.read())
        while len(events) < 2 and time.monotonic() < end:
            events += watch.read()
    assert [type(event) for event in events] == [Write, Exit]
    assert {event.tid for event in events} == {threads[0].native_id}


def test_a_cpu_is_watched_for_all_processes(place):
    """A fork writes to the same address."""
    with contextlib.ExitStack() as stack:
        watches = [stack.enter_context(watching(place, cpu=cpu)) for cpu in sorted(os.sched_getaffinity(0))]
        child = os.fork()
        if not child:
            place.value = 1
            os._exit(0)
        os.waitpid(child, 0)
        (event,) = [event for watch in watches for event in watch.read() if isinstance(event, Write)]
    assert event.pid == event.tid == child


def test_there_are_four_and_closing_gives_them_back(place):
    before = descriptors()
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            for _ in range(REGISTERS):
                stack.enter_context(watching(place))
            with pytest.raises(Unavailable, match="all in use"), watching(place):
                pass
    assert descriptors() == before


def test_they_end_with_the_process_that_set_them(place):
    source = "import sys\nfrom perfwatch.probes.readers.watchpoint import Watchpoint\n"
    source += "kept = [Watchpoint(int(sys.argv[1]), tid=int(sys.argv[2]), pages=1) for _ in range(4)]\n"
    source += "print('set')\nsys.stdin.read()"
    command = [sys.executable, "-uc", source, str(ctypes.addressof(place)), str(threading.get_native_id())]
    for _ in range(3):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "set\n"
            with pytest.raises(Unavailable, match="all in use"), watching(place):
                pass
            process.kill()
        with watching(place) as watch:
            place.value = 1
            assert len(list(watch.read())) == 1


def test_a_thread_that_is_not_there_has_vanished(place):
    with subprocess.Popen(["true"]) as ended:
        pass
    with pytest.raises(Vanished), watching(place, tid=ended.pid):
        pass


def test_checking_leaves_nothing(place):
    before = descriptors()
    with contextlib.ExitStack() as stack:
        for _ in range(REGISTERS - 1):
            stack.enter_context(watching(place))
        check(tid=threading.get_native_id())
        check(cpu=0)
        stack.enter_context(watching(place))
    assert descriptors() == before


@NEEDS_ROOT
def test_another_user_may_watch_own_threads_but_no_cpu():
    def look():
        try:
            check(cpu=0)
        except Unavailable as error:
            refused = f"{error.reason}|{error.remedy}"
        check(tid=os.getpid())
        return refused

    reason, remedy = as_nobody(look).split("|")
    assert reason == "this user may set no watchpoint (Permission denied)"
    assert "CAP_PERFMON" in remedy


def test_a_machine_that_is_not_known_is_told(monkeypatch):
    monkeypatch.setattr(perf_event.platform, "machine", lambda: "s390x")
    with pytest.raises(Unavailable, match="Function not implemented"):
        check(cpu=0)
