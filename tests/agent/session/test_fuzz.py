"""Files damaged at random, and columns that nobody packed: an answer that is right, or one clear line."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import sessions
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.agent.session.columnar import Packing, Unpacking
from perfwatch.agent.session.compression import compress
from perfwatch.agent.session.fetch import UNSOUND
from perfwatch.agent.session.second import checksum, unpack
from perfwatch.agent.session.stored import Damaged, Head

FUZZING = Path(__file__).with_name("fuzzing.py")
MOST = 10_000


@pytest.fixture
def killed(tmp_path):
    """What a killed recorder left: 30 seconds or more, in a file and its WAL."""
    command = [sys.executable, sessions.__file__, str(tmp_path / "killed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as recorder:
        while int(recorder.stdout.readline()) < 30:
            pass
        recorder.kill()
    return tmp_path


def fuzzed(directory, cases, seed):
    """In a process of its own, whose memory is bounded."""
    command = [sys.executable, str(FUZZING), str(directory), str(cases), str(seed)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    outcomes = ast.literal_eval(ended.stdout)
    assert sum(outcomes.values()) == cases
    assert set(outcomes) == {"same", "less", "refused"}
    return outcomes


def test_damage_at_random_is_an_answer_or_a_clear_line(killed):
    assert fuzzed(killed, 200, seed=1)["less"] > 40


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_kinds_of_damage(killed):
    assert fuzzed(killed, 10_000, seed=2)["less"] > 2000


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.integers(0, 300),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1, 1.0, True, "", "a"]),
    st.text(max_size=5),
)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=6), max_leaves=30)


@settings(max_examples=300)
@given(st.one_of(st.lists(_VALUES, max_size=30), st.lists(st.integers(-(1 << 63), (1 << 64) - 1), max_size=30)))
def test_any_values_come_back_from_their_columns_exactly(values):
    packing = Packing()
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(packing.column(values)))
    back = Unpacking(packing.values).column(packed, len(values))
    assert msgspec.msgpack.encode(back) == msgspec.msgpack.encode(values)  # told alike: -0.0, 1, 1.0 and yes differ


def _column(form, rest):
    return [form, *rest]


_FORMS = st.sampled_from(["p", "c", "v", "d", "r", "u", "o", "t", "l"])
_NUMBERS = st.one_of(st.integers(-2, 9), st.sampled_from([1 << 31, 1 << 40, 1 << 63, -(1 << 63)]))
_BYTES = st.one_of(st.binary(max_size=40), st.sampled_from([b"\x00" * 8, b"\xff" * 64]))
_JUNK = st.recursive(
    st.one_of(_SCALARS, _NUMBERS, _BYTES, _FORMS),
    lambda inner: st.lists(inner, max_size=4) | st.builds(_column, _FORMS, st.lists(inner, max_size=3)),
    max_leaves=20,
)
_COLUMNS = st.builds(_column, _FORMS, st.lists(_JUNK, max_size=3))


@settings(max_examples=500)
@given(_COLUMNS, st.integers(0, 100))
def test_columns_that_nobody_packed_give_so_many_values_or_are_damage(packed, count):
    with contextlib.suppress(Damaged, TypeError, ValueError, LookupError, ArithmeticError):
        assert len(Unpacking(MOST).column(packed, count)) == count


@settings(max_examples=500)
@given(
    st.lists(st.sampled_from(["loss", "request", "stacks", "clock", "host", "x"]), max_size=3, unique=True),
    _COLUMNS,
    st.lists(_COLUMNS, max_size=3),
    _COLUMNS,
    st.integers(0, 5),
)
def test_a_forged_second_is_damage(kinds, order, columns, verdicts, count):
    blob = compress(msgspec.msgpack.encode((kinds, order, columns, verdicts)))
    row = (1, 1, count, 1, 0, None, None)
    head = Head(*row, checksum((*row, None, None), blob))
    try:
        second = unpack(head, blob)
    except UNSOUND:
        return
    assert (len(second.records), len(second.verdicts)) == (count, 0)
