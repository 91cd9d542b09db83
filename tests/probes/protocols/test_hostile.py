"""Bytes that mean nothing, or harm: no error, bounded time, bounded memory, short answers."""

import time
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.probes.protocols.speech import _BY_FIRST_BYTE, _BY_PORT, _READERS, Speech
from perfwatch.probes.protocols.sql import without_literals
from perfwatch.probes.protocols.turn import MAX_NAMES, Memory, Said
from perfwatch.probes.records import MAX_OPERATION_CHARS, Protocol

STARTS = [
    *(
        b"GET /",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"*3\r\n$",
        b"*99999999999\r\n",
        b"Q\0\0\0\x20SELECT ",
        b"P\0\0\0\x20",
    ),
    *(
        b"\x16\x03\x01\x02\0\1",
        b"\x17\x03\x03",
        b"\x97\x03\x03\0\x40GET /",
        b"AMQP\0\0\x09\x01",
        b"\1\0\1\0\0\0",
        b"PUB a ",
        b"set ",
        b"\x80\0",
    ),
    *(
        b"\x10\0\0\0\3SELECT ",
        b"\0\0\0\x20\0\0\0\7",
        b"\x20\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0",
        b"\x12\x34\1\0\0\1\0\0\0\0\0\0",
    ),
]
BYTES = st.one_of(
    st.binary(max_size=200),
    st.tuples(st.sampled_from(STARTS), st.binary(max_size=140)).map(b"".join),
    st.tuples(st.sampled_from(STARTS), st.text(max_size=60).map(str.encode)).map(b"".join),
)


@settings(max_examples=500)
@given(st.lists(st.tuples(st.booleans(), BYTES, st.integers(0, 10**7)), max_size=8), st.sampled_from([*_BY_PORT, 8000]))
def test_any_bytes_give_a_turn_of_a_known_protocol(said, port):
    speech = Speech(port)
    for is_sent, data, more in said:
        if is_sent:
            turn = speech.sent(data, len(data) + more)
            assert turn.protocol in get_args(Protocol)
            assert len(turn.operation or "") <= MAX_OPERATION_CHARS
        else:
            speech.received(data, len(data) + more)


@settings(max_examples=400)
@given(BYTES, st.integers(0, 10**6), st.booleans(), st.sampled_from(list(_READERS)))
def test_every_reader_takes_any_bytes(data, more, known, protocol):
    turn = _READERS[protocol](Said(data[:128], len(data[:128]) + more, known, Memory()))
    assert turn is None or turn.protocol in {protocol, "grpc"}


@pytest.mark.parametrize("dialect", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "unit",
    ["'", '"', "\\'", "(?, ", "(?), ", "1, ", "/*", "*/", "$a", "$a$", "--", "e", "E'\\", " ", "\n", ", ", "((", "1e"],
)
def test_the_time_for_a_statement_grows_with_its_length_and_no_faster(unit, dialect):
    def spent(count):
        without_literals.cache_clear()
        begun = time.thread_time()
        without_literals(unit * count, dialect, cut=True)
        without_literals(unit * count, dialect, cut=False)
        return time.thread_time() - begun

    assert spent(40_000) < 0.05 + 40 * max(spent(4_000), 0.001)


def test_statements_are_forgotten_when_there_are_too_many():
    memory = Memory()
    for number in range(3 * MAX_NAMES):
        memory.remember(f"s{number}", "SELECT ?")
    assert len(memory._names) == MAX_NAMES
    assert memory.recall(f"s{3 * MAX_NAMES - 1}") == "SELECT ?"
    assert memory.recall("s0") is None


@given(BYTES)
def test_who_is_not_asked_for_a_first_byte_would_not_know_it(head):
    asked = dict(_BY_FIRST_BYTE[head[0]]) if head else {}
    for protocol, read in _READERS.items():
        if protocol not in asked and not head[:1].isspace():
            assert read(Said(head, len(head), known=False, memory=Memory())) is None
