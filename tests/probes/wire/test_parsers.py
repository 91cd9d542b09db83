"""What parses packets: what scapy built is read as it was meant, and nothing that a stranger sends does harm."""

import socket
import ssl
import struct
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrRouting

from perfwatch.probes.records import MAX_TARGET_CHARS, Connection, decode, encode
from perfwatch.probes.wire.connections import TrackedConnection
from perfwatch.probes.wire.exchanges import Exchanges
from perfwatch.probes.wire.flow import MAX_HOLES, Flow
from perfwatch.probes.wire.handshakes import TlsHandshake
from perfwatch.probes.wire.http1 import ends_at_its_head, parse_request, parse_status
from perfwatch.probes.wire.segments import Endpoint, Segment, address_text, ahead, parse_segment
from perfwatch.probes.wire.tls import Hello, TlsRecord, parse_hello, parse_records

CLIENT, SERVER = Endpoint(b"\x0a\0\0\1", 40000), Endpoint(b"\x0a\0\0\2", 80)
OPTIONS = st.sampled_from([[], [("MSS", 1460)], [("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)]])
HTTP = st.sampled_from([
    b"GET / HTTP/1.1\r\n\r\n", b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 S\r\n\r\n", b"body", b"GET /cut",
])  # fmt: skip
TLS = st.sampled_from([b"\x14\x03\x03\0\1\1", b"\x15\x03\x03\0\2\2\x28", b"\x17\x03\x03\0\x35" + bytes(53)])


@given(
    st.binary(max_size=100),
    OPTIONS,
    st.sampled_from(["", "S", "SA", "A", "PA", "FA", "R", "RA"]),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 100)),
    st.booleans(),
)
def test_segments_are_what_scapy_built(payload, options, flags, sequence_and_cut, is_six):
    sequence, cut = sequence_and_cut
    ends = {"src": "fd00::1", "dst": "fd00::2"} if is_six else {"src": "10.0.0.1", "dst": "10.0.0.2"}
    tcp = TCP(sport=40000, dport=80, seq=sequence, ack=7, flags=flags, options=options)
    headers = bytes((IPv6 if is_six else IP)(**ends) / tcp)
    packet = bytes((IPv6 if is_six else IP)(**ends) / tcp / payload)
    segment = parse_segment(packet[: len(headers) + cut], len(packet))
    assert (address_text(segment.source), segment.destination.port) == (
        "[fd00::1]:40000" if is_six else "10.0.0.1:40000",
        80,
    )
    assert (segment.sequence, segment.acknowledged, segment.length) == (sequence, 7, len(payload))
    assert segment.payload == payload[:cut]
    assert segment.flags == int(TCP(flags=flags).flags)


def test_padding_options_fragments_and_other_protocols():
    tcp = TCP(sport=1, dport=2, flags="A")
    packet = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / tcp)
    assert parse_segment(packet + bytes(6), 46).length == 0  # a short Ethernet frame is padded
    assert parse_segment(bytes(IP(options=[b"\x94\x04\0\0"]) / tcp / b"abc"), 47).payload == b"abc"
    assert parse_segment(bytes(IP(frag=100) / tcp), 40) is None
    assert parse_segment(bytes(IP(proto=17) / bytes(20)), 40) is None
    assert parse_segment(bytes(IPv6() / IPv6ExtHdrRouting() / tcp), 68) is None
    big = bytearray(packet)
    big[2:4] = bytes(2)  # BIG TCP: the field cannot say it
    assert parse_segment(bytes(big), 200_000).length == 200_000 - 40


@given(st.binary(max_size=120), st.integers(0, 1 << 20))
@settings(max_examples=500)
def test_any_bytes_are_a_segment_or_none(data, length):
    segment = parse_segment(data, length)
    assert segment is None or len(segment.payload) <= segment.length
    for start in (b"\x45", b"\x60"):
        parse_segment(start + data, length)


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31) + 1, 2**31 - 1))
def test_sequence_numbers_wrap(start, lead):
    assert ahead((start + lead) % 2**32, start) == lead


@pytest.mark.parametrize(
    ("payload", "method", "target"),
    [
        (b"GET / HTTP/1.1\r\n", "GET", "/"),
        (b"DELETE /a/b?token=1#x HTTP/1.0\r\n", "DELETE", "/a/b"),
        (b"GET /a;jsessionid=1 HTTP/1.1\n", "GET", "/a"),
        (b"GET http://example.org/a?b HTTP/1.1\r\n", "GET", "/a"),
        (b"GET http://example.org HTTP/1.1\r\n", "GET", "/"),
        (b"CONNECT example.org:443 HTTP/1.1\r\n", "CONNECT", "example.org:443"),
        (b"OPTIONS * HTTP/1.1\r\n", "OPTIONS", "*"),
        (b"VERSION-CONTROL /a HTTP/1.1\r\n", "VERSION-CONTROL", "/a"),
        (b"GET /\xff\xc3\xa9 HTTP/1.1\r\n", "GET", "/\ufffd\u00e9"),
        (b"GET /cut", "GET", "/cut\u2026"),
        (b"GET /whole?cu", "GET", "/whole"),
        (b"GET /whole HTT", "GET", "/whole"),
        (b"GET /" + b"x" * 400 + b" HTTP/1.1\r\n", "GET", "/" + "x" * (MAX_TARGET_CHARS - 2) + "\u2026"),
    ],
)
def test_request_lines(payload, method, target):
    assert parse_request(payload) == (method, target)


@pytest.mark.parametrize(
    "payload",
    [b"", b"GET", b"GET key\r\n", b"get / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\n", b"\x16\x03\x01GET / HTTP/1.1\r\n"],
)
def test_what_is_no_request_line(payload):
    assert parse_request(payload) is None


def test_statuses_and_heads():
    assert parse_status(b"HTTP/1.1 200 OK\r\n") == 200
    assert parse_status(b"HTTP/1.0 404\r\n") == 404
    assert parse_status(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\n\r\n") == 201
    assert parse_status(b"HTTP/1.1 100 Continue\r\n\r\n") == 100
    assert parse_status(b"HTTP/1.1 101 Switching\r\n\r\nHTTP/1.1 200 OK\r\n") == 101
    assert parse_status(b"HTTP/2 200\r\n") is None
    assert parse_status(b"HTTP/1.1 2000\r\n") is None
    whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert ends_at_its_head(whole, len(whole))
    assert not ends_at_its_head(whole, len(whole) + 1)
    with_body = b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n"
    assert not ends_at_its_head(with_body, len(with_body))


@given(st.binary(max_size=600), st.sampled_from([b"", b"GET ", b"GET /", b"HTTP/1.1 ", b"HTTP/1.1 100 \r\n\r\n"]))
@settings(max_examples=500)
def test_any_bytes_are_parsed_as_http(data, start):
    line = parse_request(start + data)
    assert line is None or len(line.target) <= MAX_TARGET_CHARS
    status = parse_status(start + data)
    assert status is None or 100 <= status <= 599
    ends_at_its_head(start + data, len(data))


@cache
def client_hello():
    """Return what Python's own TLS client sends first."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def server_hello(extensions, *, session_id=b"", version=0x0303, random=bytes(32)):
    """Return the content of a handshake record."""
    listed = b"".join(struct.pack("!HH", type_, len(data)) + data for type_, data in extensions)
    head = struct.pack("!H32sB", version, random, len(session_id)) + session_id
    body = head + struct.pack("!HBH", 0x1301, 0, len(listed)) + listed
    return b"\x02" + len(body).to_bytes(3, "big") + body


def test_hellos():
    (record,) = parse_records(client_hello())
    assert record.length == len(record.content)
    assert parse_hello(record.content).kind == "client"
    thirteen, key = (43, b"\x03\x04"), (41, b"\0\0")
    assert parse_hello(server_hello([thirteen])) == Hello("server", b"", "TLSv1.3", uses_key=False)
    assert parse_hello(server_hello([thirteen, key], session_id=b"abc")) == Hello("server", b"abc", "TLSv1.3", True)
    assert parse_hello(server_hello([])) == Hello("server", b"", "TLSv1.2", uses_key=False)
    assert parse_hello(server_hello([], version=0x0301)).version == "TLSv1"
    assert parse_hello(server_hello([(43, b"\x7f\x1c")])).version == "0x7f1c"
    cut = server_hello([thirteen, (51, bytes(40)), key])[:90]
    assert parse_hello(cut) == Hello("server", b"", "TLSv1.3", None)
    retry = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    assert parse_hello(server_hello([thirteen], random=retry)).kind == "retry"


def record(type_, content):
    return struct.pack("!BHH", type_, 0x0303, len(content)) + content


def test_a_retry_is_part_of_the_handshake():
    """The ChangeCipherSpec stands before the second ClientHello then, and the Finished comes alone."""
    hello, finished = client_hello(), record(23, bytes(53))
    change = record(20, b"\x01")
    random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    handshake = TlsHandshake()
    handshake.take(hello, 100, from_client=True)
    handshake.take(record(22, server_hello([(43, b"\x03\x04")], random=random)), 200, from_client=False)
    handshake.take(change + hello, 300, from_client=True)
    handshake.take(record(22, server_hello([(43, b"\x03\x04")])), 400, from_client=False)
    handshake.take(finished, 500, from_client=True)
    assert (handshake.began_ns, handshake.ended_ns, handshake.resumed) == (100, 500, False)


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_any_bytes_are_tls_records_or_none(data):
    assert all(isinstance(one, TlsRecord) and len(one.content) <= one.length for one in parse_records(data))
    assert len(list(parse_records(b"\x16\x03\x03\0\0" * 100 + data))) <= 32
    for start in (b"\x02\0\0\x46\x03\x03", b"\x01\0\0\x46\x03\x03"):
        parse_hello(start + data)


def piece(start, length):
    return Segment(SERVER, CLIENT, start % 2**32, 0, 0x10, length, b"")


@given(st.integers(0, 2**32 - 1), st.permutations(range(12)), st.integers(0, 11), st.integers(1, 70_000))
def test_in_any_order_each_piece_is_new_once_and_what_is_left_out_is_missed(start, order, left_out, length):
    end = start + (len(order) + 1) * length
    for skipped in (None, left_out):
        flow = Flow()
        assert flow.take(piece(start, length))
        arriving = [piece(start + (place + 1) * length, length) for place in order if place != skipped]
        assert all(flow.take(segment) for segment in arriving)
        assert not any(flow.take(segment) for segment in arriving)
        flow.finish(piece(end, 0))
        assert flow.next == (end + 1) % 2**32
        assert flow.is_whole == (skipped is None)
        assert flow.misses((end + 1) % 2**32) == (skipped is not None)
        assert not flow.misses(flow.next)
        assert flow.misses((flow.next + 1) % 2**32)


def test_a_stranger_who_fills_a_hole_crumb_by_crumb_is_bounded():
    flow = Flow(next=0)
    flow.take(piece(1 << 30, 1))
    for start in range(2, 2000, 2):
        flow.take(piece(start, 1))
    assert len(flow._holes) == MAX_HOLES
    assert flow.misses((1 << 30) + 1)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 100)), max_size=60))
def test_holes_are_what_no_segment_covers(pieces):
    flow, covered = Flow(next=0), set()
    for start, length in pieces:
        new = set(range(start, start + length)) - covered
        assert flow.take(piece(start, length)) == bool(new)
        covered |= new
    assert flow.is_whole == (covered == set(range(max(covered, default=-1) + 1)))


def segments(payloads):
    """Segments of a connection, with numbers that are close to what they should be, or anywhere."""
    number = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))
    flags = st.sampled_from([0x02, 0x12, 0x10, 0x11, 0x14, 0x04, 0x18, 0xFF, 0])
    made = st.builds(
        lambda sequence, acknowledged, flags, payload, more: Segment(
            CLIENT, SERVER, sequence, acknowledged, flags, len(payload) + more, payload
        ),
        number,
        number,
        flags,
        st.one_of(payloads, st.binary(max_size=40)),
        st.sampled_from([0, 0, 0, 1000, 1 << 20]),
    )
    return st.lists(st.tuples(made, st.booleans()), max_size=30)


@given(segments(HTTP))
@settings(max_examples=300)
def test_any_segments_are_followed_as_requests(taken):
    exchanges = Exchanges(1, SERVER, CLIENT, iter(range(1000)))
    told = 0
    for at_ns, (segment, from_client) in enumerate(taken):
        exchanges.take(segment, at_ns, from_client=from_client)
        exchanges.settle(at_ns + 200_000_000)
        finished, lost = exchanges.drain()
        told += len(finished) + lost
        for request in [*finished, *filter(None, [exchanges.open()])]:
            assert request.ended_ns is None or request.ended_ns >= request.arrived_ns
            assert min(request.received_bytes, request.sent_bytes) >= 0
    assert told <= 2 * len(taken)


@given(segments(TLS))
@settings(max_examples=150)
def test_any_segments_are_followed_as_a_connection(taken):
    hello = Segment(CLIENT, SERVER, 5, 0, 0x18, 600, client_hello())
    for role in ("accepted", "connected"):
        connection = TrackedConnection(1, role, CLIENT, SERVER)
        for at_ns, (segment, from_client) in enumerate([*taken, (hello, True), *taken]):
            connection.take(segment, at_ns, 1, from_client=from_client)
            connection.begins_anew(segment)
        made = connection.record(100)
        assert isinstance(decode(encode(made)), Connection)
        assert made.setup_ns is None or made.setup_ns >= 0
        assert made.tls_ns is None or made.tls_ns >= 0


def test_addresses():
    assert address_text(Endpoint(socket.inet_pton(socket.AF_INET6, "::ffff:10.0.0.5"), 53)) == "10.0.0.5:53"
    assert address_text(Endpoint(socket.inet_pton(socket.AF_INET6, "::1"), 53)) == "[::1]:53"
