"""Parsing what the kernel sends: layouts, first lines, addresses; and nothing secret gets through."""

import socket
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.errors import Malformed
from perfwatch.probes.ledger import code_events, step_events
from perfwatch.probes.ledger import events as ev
from perfwatch.probes.ledger.following.flow import Flow

OBJECT = Path(__file__).parents[3] / "probes" / "ledger" / "ledger.x86_64.bpf.o"


def btf_struct_sizes():
    """Read the sizes of the object's structs out of its BTF: what the compiler made of layout.bpf.h."""
    with OBJECT.open("rb") as file:
        data = ELFFile(file).get_section_by_name(".BTF").data()
    _, _, _, header, types, types_len, strings, _ = struct.unpack_from("<HBBIIIII", data)
    at, end, base, sizes = header + types, header + types + types_len, header + strings, {}
    extra = {1: 4, 3: 12, 14: 4, 17: 4}
    while at < end:
        name, info, size = struct.unpack_from("<III", data, at)
        kind, count = info >> 24 & 31, info & 0xFFFF
        if kind == 4:
            sizes[data[base + name :].split(b"\0", 1)[0].decode()] = size
        at += 12 + extra.get(kind, 0) + count * {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}.get(kind, 0)
    return sizes


def test_both_sides_have_the_same_layout():
    sizes = btf_struct_sizes()
    tables = {"wait": ev.WAIT, "thread": ev.THREAD, "listener": ev.LISTENER, "target": ev.TARGET}
    tables |= {"python": code_events.PYTHON}
    expected = {name: table.size for name, table in tables.items()}
    expected |= {"request": ev.MOST_REQUEST_BYTES, "stack": code_events.MOST_STACK_BYTES}
    assert expected == {name: sizes[name] for name in expected}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", ("GET", "/")),
        (b"POST /a/b?token=hunter2 HTTP/1.1\r\nCookie: s=1\r\n", ("POST", "/a/b")),
        (b"GET /a;jsessionid=hunter2?x HTTP/1.1\r\n", ("GET", "/a")),
        (b"GET /a#hunter2 HTTP/1.1\r\n", ("GET", "/a")),
        (b"GET http://user:hunter2@shop.example/a?b HTTP/1.1\r\n", ("GET", "/a")),
        (b"OPTIONS * HTTP/1.1\r\n", ("OPTIONS", "*")),
        (b"GET /caf\xc3\xa9\xff HTTP/1.1\r\n", ("GET", "/café\ufffd")),
        (b"GET /" + b"a" * 251, ("GET", "/" + "a" * 251 + "…")),
        (b"GET /a?" + b"a" * 251, ("GET", "/a")),
        (b"GET", (None, None)),
        (b"\x16\x03\x01 x HTTP", (None, None)),
        (b"", (None, None)),
    ],
)
def test_method_and_path_are_taken_and_no_more(head, expected):
    assert ev.parse_request_line(head) == expected
    assert "hunter2" not in str(ev.parse_request_line(head))


@given(st.binary(max_size=256))
def test_any_bytes_have_a_first_line_or_none(head):
    method, target = ev.parse_request_line(head)
    assert (method is None) == (target is None)
    assert target is None or ("?" not in target and "\r\n" not in target and len(target) <= 257)


@pytest.mark.parametrize(
    ("head", "status"),
    [(b"HTTP/1.1 200 OK\r\n", 200), (b"HTTP/1.0 503 \r\n\0", 503), (b"HTTP/1.1 2x0", None), (b"\0" * 16, None)],
)
def test_a_status_is_a_number_or_none(head, status):
    assert ev.parse_status(head) == status


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (ev.Address(socket.AF_INET, 80, b"\x0a\0\0\x05" + bytes(12)), "10.0.0.5:80"),
        (ev.Address(socket.AF_INET6, 53, bytes(15) + b"\1"), "[::1]:53"),
        (ev.Address(socket.AF_INET6, 53, bytes(10) + b"\xff\xff\x7f\0\0\1"), "127.0.0.1:53"),
        (ev.Address(socket.AF_UNIX, 0, b"name" + bytes(12)), "unix:/run/x.sock"),
        (ev.Address(socket.AF_UNIX, 0, bytes(16)), "unix:?"),
    ],
)
def test_addresses_read_as_people_write_them(address, text):
    assert address.text({b"name\0\0\0\0": "/run/x.sock"}.get) == text


@given(st.binary(min_size=8, max_size=800))
def test_foreign_bytes_are_refused(data):
    kind = struct.unpack_from("=II", data)[1]
    if kind in range(1, 8):
        return
    with pytest.raises(Malformed):
        ev.parse_events([data])


@pytest.mark.parametrize(
    ("nth", "expected"),
    [(0, ("GET", "/a")), (1, ("POST", "/b")), (2, ("GET", "/c")), (3, (None, None)), (9, (None, None))],
)
def test_of_several_requests_in_one_read_each_has_its_own_line(nth, expected):
    post = b"POST /b HTTP/1.1\r\nContent-Length: 7\r\n\r\nGET /x "
    read = b"GET /a HTTP/1.1\r\n\r\n" + post + b"GET /c HTTP/1.1\r\nHost"
    assert ev.parse_request_line(ev.nth_head(read, nth)) == expected


def test_the_kind_of_a_request_is_its_line_without_digits_and_query():
    alike = [b"GET /a/1?x HTTP/1.1\r\n", b"GET /a/22 HTTP/1.1\r\nHost: a", b"GET /a/ HTTP"]
    assert len({ev.line_kind(head) for head in alike}) == 1
    other = [b"POST /a/1 HTTP/1.1\r\n", b"GET /b/1 HTTP/1.1\r\n", b""]
    assert len({ev.line_kind(head) for head in (alike[0], *other)}) == 4


def step(at_ns, kind, request, *, on_cpu=1_000, run_queue=0, size=40, tid=7):
    """Make what the kernel sends of a step."""
    booked = [0, on_cpu, 0, 0, 0, run_queue, *[0] * 10]
    head = struct.pack(
        "=IIQIIIIQQQqQ", step_events.STEP_BYTES, ev.EVENT_STEP, at_ns, 7, tid, kind, 0, 99, request, 0, size, 0
    )
    return head + struct.pack("=16Q", *booked)


READ, ANSWERED = step_events.READ, step_events.ANSWERED


def test_an_answer_in_several_writes_is_one_step():
    told = [step(10, READ, 1), step(20, ANSWERED, 1), step(30, ANSWERED, 1), step(40, ANSWERED, 1), step(50, READ, 2)]
    read, answered, after = ev.parse_events(told)
    assert [event.at_ns for event in (read, answered, after)] == [10, 40, 50]
    assert (answered.step, answered.request, answered.bytes) == (ANSWERED, 1, 120)
    assert answered.booked_ns == (0, 3_000, *[0] * 14)


@pytest.mark.parametrize(
    "told",
    [
        [step(20, ANSWERED, 1), step(30, ANSWERED, 2)],
        [step(20, ANSWERED, 1), step(30, ANSWERED, 1, tid=8)],
        [step(20, ANSWERED, 1), step(30, READ, 2), step(40, ANSWERED, 1)],
        [step(20, READ, 1), step(30, READ, 1)],
        [step(20, ANSWERED, 1, run_queue=5), step(30, ANSWERED, 1)],
        [step(20, ANSWERED, 1), step(30, ANSWERED, 1, run_queue=5)],
        [step(20, ANSWERED, 1, on_cpu=300_000), step(30, ANSWERED, 1, on_cpu=200_000)],
    ],
    ids=["another's", "by another thread", "not at once", "no answers", "waited before", "waited in between", "long"],
)
def test_other_steps_are_told_one_by_one(told):
    assert ev.parse_events(told) == [event for data in told for event in ev.parse_events([data])]
    assert len(ev.parse_events(told)) == len(told)


@given(st.lists(st.tuples(st.sampled_from([READ, ANSWERED]), st.integers(1, 3), st.integers(0, 900)), max_size=40))
def test_joined_or_not_requests_get_the_same_time(acts):
    """Each piece of an answer by itself, or those of one answer together: what is booked is the same."""
    told = [step(1_000 * n, kind, request, on_cpu=on_cpu) for n, (kind, request, on_cpu) in enumerate(acts, 1)]
    booked = []
    for events in (ev.parse_events(told), [event for data in told for event in ev.parse_events([data])]):
        flow = Flow(lambda *_: None, lambda *_: None)
        for event in events:
            flow.take(event)
        ways = [flow.way(request) for request in (1, 2, 3)]
        booked.append([(way.booked_ns, way.booked_until_ns, way.answered_ns) for way in ways if way])
    assert booked[0] == booked[1]
