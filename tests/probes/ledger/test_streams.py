"""Requests made of frames of HTTP/2: pieces, joined connections, ends of all kinds, and what no peer should send."""

from __future__ import annotations

import struct

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.errors import Malformed
from perfwatch.probes.ledger import events as ev
from perfwatch.probes.ledger import frame_events as fe
from perfwatch.probes.ledger import step_events as steps
from perfwatch.probes.ledger.http2.connection import Begun
from perfwatch.probes.ledger.http2.headers import Headers
from perfwatch.probes.ledger.http2.streams import MOST_CONNECTIONS, Streams
from perfwatch.probes.ledger.step_events import StepEvent

NOTHING = (0,) * 16
LOOP, WORKER = fe.LOOP_LANE, fe.STREAM_LANE
ENDS = struct.pack("=HHI16sHHI16s", 2, 8000, 0, bytes([127, 0, 0, 1]), 2, 40000, 0, bytes([10, 0, 0, 9]))
ASKED = [(":method", "GET"), (":path", "/orders/7?token=secret"), (":scheme", "http"), ("cookie", "a=b")]
GRPC = [(":method", "POST"), (":path", "/shop.Orders/Get"), ("content-type", "application/grpc+proto")]
MS = 1_000_000


def event(type_, *, at=0, stream=1, flags=0, way=0, head=b"", left=0, lane=LOOP, **more):
    told = fe.FrameEvent(at, 7, 8, 5, 0, 0, stream, type_, flags, way, left, lane, 0, 0, 9 + len(head), NOTHING, head)
    return told._replace(**more)


def opened(*, from_the_beginning=True, way=0, **more):
    return event(fe.OPENED, flags=int(from_the_beginning), way=way, head=ENDS, **more)


class Wire:
    """Both peers of one connection, and who follows it."""

    def __init__(self, **how):
        self.streams = Streams()
        self.client, self.server = Encoder(), Encoder()
        self.told = []
        self.take(opened(**how))

    def take(self, *events):
        for each in events:
            self.told += self.streams.take(each)

    def ask(self, headers=ASKED, *, stream=1, number=1, at=10 * MS, more=fe.END_STREAM, **how):
        block = self.client.encode(headers)
        self.take(
            event(fe.HEADERS, at=at, stream=stream, flags=fe.END_HEADERS | more, head=block, request=number, **how)
        )

    def answer(self, headers, *, stream=1, at=30 * MS, more=0, **how):
        block = self.server.encode(headers)
        self.take(
            event(fe.HEADERS, at=at, stream=stream, flags=fe.END_HEADERS | more, head=block, way=fe.FROM_SERVER, **how)
        )

    def data(self, *, stream=1, at=40 * MS, more=fe.END_STREAM, **how):
        self.take(event(fe.DATA, at=at, stream=stream, flags=more, way=fe.FROM_SERVER, **how))

    @property
    def requests(self):
        return [each for each in self.told if isinstance(each, ev.RequestEvent)]

    @property
    def steps(self):
        plain = [each.step if isinstance(each, Begun) else each for each in self.told]
        return [(each.step, each.request, each.at_ns) for each in plain if isinstance(each, StepEvent)]


def test_a_stream_is_a_request_from_its_headers_to_the_end_of_its_answer():
    wire = Wire()
    wire.ask(since_ns=9 * MS)
    wire.answer([(":status", "200")])
    assert wire.requests == []
    wire.data(size=100, untold_stream=1, untold_bytes=50)
    (request,) = wire.requests
    assert ev.parse_request_line(request.head) == ("GET", "/orders/7")
    assert ev.parse_status(request.status) == 200
    assert (request.arrived_ns, request.started_ns, request.ended_ns) == (9 * MS, 10 * MS, 40 * MS)
    assert request.flags == ev.ANSWERED | ev.FINAL | ev.BY_STEPS
    assert (request.protocol, request.grpc_status, request.id) == ("http/2", None, 1)
    assert request.remote.text(lambda _: None) == "10.0.0.9:40000"
    assert request.sent_bytes > 150
    assert wire.steps == [(steps.READ, 1, 10 * MS), (steps.ANSWERED, 1, 30 * MS), (steps.ANSWERED, 1, 40 * MS)]
    assert wire.streams.under_way() == []


def test_data_that_were_not_told_are_their_own_stream_s_whichever_is_told_next():
    wire = Wire()
    for number in (1, 2):
        wire.ask(stream=2 * number - 1, number=number)
        wire.answer([(":status", "200")], stream=2 * number - 1)
    head_bytes = {request.id: request.sent_bytes for request in wire.streams.under_way()}
    wire.data(stream=3, size=100, untold_stream=1, untold_bytes=5000)
    wire.data(stream=1, size=10)
    told = {request.id: request.sent_bytes for request in wire.requests}
    assert told == {1: head_bytes[1] + 5010, 2: head_bytes[2] + 100}


def test_streams_that_lie_across_each_other_are_told_apart():
    wire = Wire()
    for number in (1, 2, 3):
        wire.ask([(":method", "GET"), (":path", f"/{number}")], stream=2 * number - 1, number=number)
    assert [request.id for request in wire.streams.under_way()] == [1, 2, 3]
    for number in (2, 3, 1):
        wire.answer([(":status", str(200 + number))], stream=2 * number - 1, more=fe.END_STREAM)
    told = [
        (request.id, ev.parse_request_line(request.head)[1], ev.parse_status(request.status))
        for request in wire.requests
    ]
    assert told == [(2, "/2", 202), (3, "/3", 203), (1, "/1", 201)]


def test_a_call_of_grpc_has_the_status_of_its_trailers():
    wire = Wire()
    wire.ask(GRPC)
    wire.answer([(":status", "200"), ("content-type", "application/grpc")])
    wire.data(more=0, at=35 * MS)
    wire.answer([("grpc-status", "9"), ("grpc-message", "no")], more=fe.END_STREAM, at=50 * MS)
    (request,) = wire.requests
    assert (request.protocol, request.grpc_status, ev.parse_status(request.status)) == ("grpc", 9, 200)
    assert request.ended_ns == 50 * MS


@pytest.mark.parametrize("cut", [1, 7, 256])
def test_a_block_comes_in_pieces_of_several_frames_with_padding_and_priority(cut):
    block = Encoder().encode([*ASKED, ("x-long", "v" * 700)])
    wire = Wire()
    first = bytes([3]) + bytes(5) + block[:20] + bytes(3)
    for payload, kind, flags in (
        (first, fe.HEADERS, fe.PADDED | fe.PRIORITY | fe.END_STREAM),
        (b"", fe.CONTINUATION, 0),
        (block[20:], fe.CONTINUATION, fe.END_HEADERS),
    ):
        pieces = [payload[at : at + cut] for at in range(0, len(payload), cut)] or [b""]
        for number, piece in enumerate(pieces):
            left = len(payload) - min((number + 1) * cut, len(payload))
            opens = int(kind == fe.HEADERS and number == 0)
            wire.take(event(kind, flags=flags, head=piece, left=left, request=opens, at=number))
    assert [ev.parse_request_line(request.head) for request in wire.streams.under_way()] == [("GET", "/orders/7")]
    wire.ask(stream=3, number=2)
    assert len(wire.streams.under_way()) == 2
    assert {request.head for request in wire.streams.under_way()} == {b"GET /orders/7?token=secret HTTP/2\r\n"}


def test_of_a_connection_joined_later_only_what_can_be_decoded_is_told():
    wire = Wire(from_the_beginning=False)
    wire.client.encode(ASKED)  # went by before
    wire.ask()
    wire.ask([(":method", "GET"), (":path", "/new"), ("x-new", "1")], stream=3, number=2)
    wire.ask([(":method", "GET"), (":path", "/new"), ("x-new", "1")], stream=5, number=3)
    lines = [ev.parse_request_line(request.head) for request in wire.streams.under_way()]
    assert lines == [(None, None), ("GET", "/new"), ("GET", "/new")]
    wire.answer([(":status", "404")], stream=3, more=fe.END_STREAM)
    assert [ev.parse_status(request.status) for request in wire.requests] == [404]


def test_after_a_block_that_makes_no_sense_nothing_is_made_up():
    wire = Wire()
    wire.take(event(fe.HEADERS, flags=fe.END_HEADERS, head=b"\xff\xff\xff\xff\xff", request=1))
    wire.ask(stream=3, number=2)
    wire.answer([(":status", "200")], stream=3, more=fe.END_STREAM)
    assert [(request.head, ev.parse_status(request.status)) for request in wire.requests] == [(b"", 200)]


@pytest.mark.parametrize("way", [0, fe.FROM_SERVER])
def test_a_reset_aborts_a_stream_and_so_does_the_end_of_the_connection(way):
    wire = Wire()
    wire.ask()
    wire.ask(stream=3, number=2)
    wire.take(event(fe.RESET, at=20 * MS, way=way))
    wire.take(event(fe.CLOSED, at=25 * MS, way=fe.IN_THE_DARK))
    assert [(request.id, request.ended_ns, request.flags & ~ev.BY_STEPS) for request in wire.requests] == [
        (1, 20 * MS, ev.ABORTED | ev.FINAL),
        (2, 25 * MS, ev.ABORTED | ev.FINAL),
    ]
    wire.take(event(fe.DATA, way=fe.FROM_SERVER, flags=fe.END_STREAM))
    assert len(wire.requests) == 2


def test_a_stream_of_events_is_answered_at_its_first_pause():
    wire = Wire()
    for stream in (1, 3):
        wire.ask(stream=stream, number=stream)
        wire.answer([(":status", "200"), ("content-type", "text/event-stream")], stream=stream)
    wire.data(stream=1, more=0, at=30 * MS + MS // 2)
    wire.data(stream=1, more=0, at=40 * MS)
    wire.told += wire.streams.settle(200 * MS)
    assert [(request.id, request.ended_ns, request.flags & ev.ANSWERED) for request in wire.requests] == [
        (1, 30 * MS + MS // 2, 1),
        (3, 30 * MS, 1),
    ]


def test_an_interim_answer_ends_nothing_and_a_tunnel_is_answered_when_it_stands():
    wire = Wire()
    wire.ask()
    wire.answer([(":status", "103")])
    wire.answer([(":status", "200")], more=fe.END_STREAM, at=50 * MS)
    wire.ask([(":method", "CONNECT"), (":path", "/socket"), (":protocol", "websocket")], stream=3, number=2, more=0)
    wire.answer([(":status", "200")], stream=3, at=60 * MS)
    assert [(ev.parse_status(request.status), request.ended_ns) for request in wire.requests] == [
        (200, 50 * MS),
        (200, 60 * MS),
    ]


def test_within_tls_it_counts_when_the_records_pass_the_socket():
    wire = Wire(way=fe.IN_THE_DARK, request=99, since_ns=8 * MS, at=9 * MS)
    dark = fe.IN_THE_DARK
    wire.take(event(fe.RECORDS, at=10 * MS, since_ns=9 * MS))
    wire.ask(at=11 * MS, way=dark)
    block = wire.server.encode([(":status", "200")])
    ends = fe.END_HEADERS | fe.END_STREAM
    wire.take(event(fe.HEADERS, at=20 * MS, flags=ends, way=dark | fe.FROM_SERVER, head=block))
    assert wire.requests == []
    wire.take(event(fe.RECORDS, at=21 * MS, way=fe.FROM_SERVER, booked_ns=(1,) * 16))
    (request,) = wire.requests
    assert (request.arrived_ns, request.started_ns, request.ended_ns) == (9 * MS, 10 * MS, 21 * MS)
    assert wire.told[0].request == 99  # what the kernel had taken for a request
    assert wire.steps == [(steps.NOTICED, 0, 10 * MS), (steps.READ, 1, 10 * MS), (steps.ANSWERED, 1, 21 * MS)]


def test_who_writes_for_several_streams_at_once_is_not_known_to_have_served_one():
    wire = Wire()
    for number in (1, 2, 3):
        wire.ask(stream=2 * number - 1, number=number, lane=0)
    for number, at in ((1, 30), (2, 40), (3, 40)):
        wire.answer([(":status", "200")], stream=2 * number - 1, more=fe.END_STREAM, at=at * MS, lane=WORKER)
    assert [request.id for request in wire.requests] == [1]
    wire.told += wire.streams.release(41 * MS)
    assert [(request.id, bool(request.flags & ev.BY_STEPS)) for request in wire.requests] == [
        (1, True),
        (2, False),
        (3, False),
    ]
    assert [step for step, _, _ in wire.steps[:3]] == [steps.FOUND] * 3


def test_of_a_connection_that_is_lost_nothing_is_told_and_a_process_that_ends_leaves_its_streams():
    wire = Wire()
    wire.ask()
    wire.take(event(fe.LOST))
    wire.data()
    assert wire.requests == []
    wire.take(opened(connection=6))
    wire.ask(connection=6)
    wire.told += wire.streams.end_process(7, 70 * MS)
    assert [(request.ended_ns, request.flags & ev.DIED) for request in wire.requests] == [(70 * MS, ev.DIED)]


def test_so_many_connections_are_kept_and_no_more():
    wire = Wire()
    wire.ask()
    wire.take(*(opened(connection=100 + number) for number in range(MOST_CONNECTIONS)))
    assert wire.streams.under_way() == []


FRAMES = st.builds(
    event,
    st.sampled_from([fe.DATA, fe.HEADERS, fe.RESET, fe.PUSH, fe.CONTINUATION, fe.CLOSED, fe.LOST, fe.RECORDS, 200]),
    at=st.integers(0, 1 << 40),
    stream=st.integers(0, 9),
    flags=st.integers(0, 255),
    way=st.integers(0, 3),
    head=st.binary(max_size=64)
    | st.sampled_from([b"\x82\x84", b"\x88", b"\x3f\xe1\x1f", b"\xbe\xbf", b"\x40\x01a\x01b"]),
    left=st.integers(0, 2),
    lane=st.integers(0, 3),
    request=st.integers(0, 3),
)


@given(st.lists(FRAMES, max_size=40), st.booleans(), st.sampled_from([0, fe.IN_THE_DARK]))
def test_whatever_frames_come_each_request_is_told_at_most_once(frames, from_the_beginning, way):
    wire = Wire(from_the_beginning=from_the_beginning, way=way)
    ids = iter(range(1, 1000))
    for each in frames:
        wire.take(each._replace(request=next(ids) if each.request else 0))
    wire.told += wire.streams.release(1 << 62) + wire.streams.end_process(7, 1 << 41)
    told = [request.id for request in wire.requests]
    assert len(told) == len(set(told))
    assert wire.streams.under_way() == []


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
def test_whatever_a_block_holds_it_is_read_or_left(blocks, is_joined):
    headers = Headers(is_joined=is_joined)
    for block in blocks:
        assert headers.read(block).keys() <= {
            b":method",
            b":path",
            b":protocol",
            b":status",
            b"content-type",
            b"grpc-status",
        }


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([":path", "x-a", "cookie"]), st.sampled_from("abc")), max_size=4),
        max_size=30,
    )
)
def test_a_block_that_is_known_means_the_same_only_while_its_table_does(lists):
    encoder, headers = Encoder(), Headers(is_joined=False)
    encoder.header_table_size = 40 * 2  # entries are evicted all the time
    for each in lists:
        paths = [value.encode() for name, value in each if name == ":path"]
        assert headers.read(encoder.encode(each)).get(b":path") == (paths[-1] if paths else None)


def test_a_small_block_that_blows_up_is_left():
    encoder = Encoder()
    headers = Headers(is_joined=False)
    assert headers.read(encoder.encode([("x-bomb", "x" * 4000)])) == {}
    assert headers.read(b"\xbe" * 60_000) == {}
    assert headers.read(encoder.encode([(":status", "200")])) == {}


def test_a_frame_is_read_as_the_kernel_tells_it():
    fields = (600, 9, 1, 7, 8, 5, 3, 4, 1, fe.HEADERS, 5, 0, 0, LOOP, 0, 0, 20, 3, *range(16))
    data = struct.pack("=IIQIIQQQIIIIIIIIII16Q", *fields) + b"abc"
    told = fe.parse_frame(data)
    assert (told.at_ns, told.request, told.since_ns, told.size, told.head) == (1, 3, 4, 20, b"abc")
    assert told.booked_ns == tuple(range(16))
    for length in (0, 20, len(data) - 1):
        with pytest.raises(Malformed):
            fe.parse_frame(data[:length])
