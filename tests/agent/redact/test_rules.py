"""Each text of each record has a rule, no rule lets anything through, and verdicts stay what they are."""

import types
import typing

import fake_records
import msgspec
import pytest
import sessions
from hypothesis import given

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.model import SessionInfo
from perfwatch.agent.redact.hiding import Hiding
from perfwatch.agent.redact.reading import open_reader
from perfwatch.agent.redact.rules import RULES
from perfwatch.agent.redact.words import Words
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import Record, decode, encode

SNOWMAN = "☃"
SHAPES = [
    *(
        "{}",
        "/{}/a",
        "/orders/{}",
        "{}:80",
        "unix:/run/{}",
        "<{}>",
        "GET /{}",
        "SELECT `{}` FROM t",
        "{}.py",
        "/srv/{}/a.py",
    ),
    *(
        "/usr/lib/python3.11/{}.py",
        "/x/site-packages/{}/a.py",
        "lib{}.so.1",
        "Thread-1 ({})",
        "worker {}",
        "gunicorn {}",
    ),
    *(
        "/system.slice/{}.scope",
        "process {} is stopped",
        "1 {} workers",
        "<frozen {}>",
        "/usr/bin/{}",
        "{}/0:1",
        "A {}.b",
    ),
]
KINDS = [*typing.get_args(Record), SessionInfo]


def structs(root):
    """All structs that a type is made of."""
    if isinstance(root, type) and issubclass(root, msgspec.Struct):
        yield root
        for hint in typing.get_type_hints(root).values():
            yield from structs(hint)
    for one in typing.get_args(root):
        yield from structs(one)


def has_own_text(hint):
    if typing.get_origin(hint) is typing.Literal or (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
        return False
    return hint is str or any(map(has_own_text, typing.get_args(hint)))


def test_each_text_of_each_record_has_a_rule_and_no_rule_is_left_over():
    found = {
        (kind, name)
        for root in KINDS
        for kind in structs(root)
        for name, hint in typing.get_type_hints(kind).items()
        if has_own_text(hint)
    }
    assert found == {(kind, name) for kind, rules in RULES.items() for name in rules}


def filled(hint, text):
    """A value of a type with one text wherever there is one."""
    if hint is str:
        return text
    if hint in {int, float, bool}:
        return hint(1)
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)[0]
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return filled(typing.get_args(hint)[0], text)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        return (filled(inner[0], text),) if Ellipsis in inner else tuple(filled(one, text) for one in inner)
    return hint(**{name: filled(of, text) for name, of in typing.get_type_hints(hint).items()})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_text_gets_through_that_could_be_anything(kind):
    for shape in SHAPES:
        record = filled(kind, shape.format(f"Zq{SNOWMAN}"))
        words = Words()
        if kind is not SessionInfo:
            words.look(record)
        hidden = Hiding(words).hide(record)
        assert SNOWMAN not in repr(hidden), (shape, hidden)
        assert type(hidden) is kind


@given(sessions.ANY_RECORD)
def test_any_record_is_still_one(record):
    words = Words()
    words.look(record)
    hidden = Hiding(words).hide(record)
    assert decode(encode(hidden)) == hidden
    numbers = [getattr(hidden, name) for name, hint in typing.get_type_hints(type(record)).items() if hint is int]
    assert numbers == [
        getattr(record, name) for name, hint in typing.get_type_hints(type(record)).items() if hint is int
    ]


def test_verdicts_stay_as_they_are(tmp_path):
    file = tmp_path / "shop"
    with SessionWriter(file, fake_records.session_info()) as writer:
        for record in fake_records.generate(60):
            writer.write(record)
        writer.close("the time was over")
    found = []
    for redact in (False, True):
        with open_reader(file, redact=redact) as session:
            correlator = Correlator(session.info)
            told = [one for record in session.records() for one in correlator.feed(record)]
            view = correlator.view()
            found.append(
                (
                    [(one.record.id, one.verdict.principle, one.verdict.mechanism, one.verdict.share) for one in told],
                    [
                        (one.count, one.slow_count, one.verdict.mechanism, one.verdict.confidence)
                        for one in view.endpoints
                    ],
                )
            )
    assert found[0] == found[1]
    assert len(found[0][0]) > 50
