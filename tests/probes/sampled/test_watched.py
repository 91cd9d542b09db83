"""What poll, select and epoll wait for: read from a real process, and parsed from anything."""

import platform
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgering import script

from perfwatch.probes.readers.calls import NAMES, name_of
from perfwatch.probes.readers.thread_formats import (
    parse_syscall,
    signed,
)
from perfwatch.probes.sampled.watched import (
    MAX_WATCHED,
    Watched,
    parse_epoll,
    parse_poll,
    parse_set,
    read_epoll,
    read_poll,
    read_select,
)

WAITING = """
import os, select, socket, sys
one, one_end = socket.socketpair(); two, two_end = socket.socketpair()
print(one.fileno(), two.fileno(), flush=True)
kind = sys.argv[1]
if kind == "poll":
    poller = select.poll()
    poller.register(one, select.POLLIN); poller.register(two, select.POLLIN); poller.poll(60_000)
elif kind == "select":
    select.select([one, two], [], [], 60)
elif kind == "timeout":
    one.settimeout(60); one.recv(1)
else:
    poller = select.epoll(); poller.register(one, select.EPOLLIN); poller.register(two, select.EPOLLIN); poller.poll(60)
"""


def waiting_call(pid):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        call = parse_syscall(Path(f"/proc/{pid}/syscall").read_bytes())
        name = call and name_of(platform.machine(), call.number)
        if name in {"poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait"}:
            return name, call.arguments
        time.sleep(0.01)
    raise AssertionError(call)


@pytest.mark.parametrize("kind", ["poll", "select", "epoll", "timeout"])
def test_the_descriptors_that_a_process_waits_for_are_found(kind):
    if platform.machine() not in NAMES:
        pytest.skip("system calls are not known on this machine")
    with script(WAITING, arguments=[kind]) as (process, line):
        one, two = map(int, line.split())
        name, arguments = waiting_call(process.pid)
        if "epoll" in name:
            found = read_epoll(process.pid, signed(arguments[0]))
        elif "select" in name:
            found = read_select(process.pid, *arguments[:3])
        else:
            found = read_poll(process.pid, *arguments[:2])
    assert sorted(found) == [Watched(fd, writing=False) for fd in ([one] if kind == "timeout" else [one, two])]


def test_memory_that_is_not_there_is_not_read():
    with script(WAITING, arguments=["poll"]) as (process, _):
        waiting_call(process.pid)
        assert read_poll(process.pid, 4096, 1) is None
        assert read_poll(process.pid, (1 << 64) - 4096, 1) is None
        assert read_select(process.pid, 8, 1 << 40, 0) is None
        assert read_epoll(process.pid, 9999) is None


@given(st.binary(max_size=2000))
def test_anything_is_parsed_within_bounds(data):
    assert len(parse_poll(data)) <= len(data) // 8
    assert len(parse_epoll(data)) <= MAX_WATCHED
    assert all(0 <= fd < len(data) * 8 for fd in parse_set(data))


@given(st.sets(st.integers(0, 1023)))
def test_a_set_of_descriptors_comes_back(descriptors):
    bits = sum(1 << fd for fd in descriptors)
    assert set(parse_set(bits.to_bytes(128, "little"))) == descriptors
