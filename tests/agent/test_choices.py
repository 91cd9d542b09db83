"""What a user may ask of the probes, and the one line for what is not possible."""

from __future__ import annotations

import pytest

from perfwatch.agent.choices import Choices, chosen
from perfwatch.agent.errors import PerfwatchError
from perfwatch.probes.table import ENTRIES, NAMES


def test_what_is_asked_is_what_is_done():
    choices = chosen("sampled", ("disk=0.5", "cpu=10"), ("wire", "threads"), 2.5)
    assert choices == Choices("sampled", (("disk", 2.0), ("cpu", 0.1)), ("wire", "threads"), 0.025)
    assert choices.period_s("cpu") == 0.1
    assert choices.period_s("memory") is None


@pytest.mark.parametrize(
    ("rates", "without", "words"),
    [
        ((), ("dsik",), "there is no probe 'dsik'"),
        (("dsik=1",), (), "there is no probe 'dsik'"),
        (("disk",), (), "is not PROBE=HZ"),
        (("disk=",), (), "is not PROBE=HZ"),
        (("disk=often",), (), "is not PROBE=HZ"),
        (("disk=nan",), (), "can be read 0.033 to 1000 times a second"),
        (("disk=0",), (), "can be read 0.033 to 1000 times a second"),
        (("disk=-1",), (), "can be read 0.033 to 1000 times a second"),
        (("disk=inf",), (), "can be read 0.033 to 1000 times a second"),
        (("ledger=1",), (), "can be read 10 to 1000 times a second"),
        (("sampled=5",), (), "can be read 10 to 1000 times a second"),
        ((), ("ledger",), "choose with --fidelity"),
        ((), ("sampled",), "choose with --fidelity"),
        ((), ("host",), "cannot be left out"),
        ((), ("\x1b[2J",), r"there is no probe '\x1b[2J'"),
    ],
)
def test_what_is_not_possible_is_said_in_one_line(rates, without, words):
    with pytest.raises(PerfwatchError) as raised:
        chosen("auto", rates, without, 10)
    assert words in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_probe_can_be_read_as_rarely_as_it_says(entry):
    rate = f"{entry.name}={1 / entry.slowest_s:.4g}"
    ((name, period_s),) = chosen("auto", (rate,), (), 10).periods_s
    assert name == entry.name
    assert period_s == pytest.approx(entry.slowest_s, rel=0.01)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(PerfwatchError) as raised:
        chosen("auto", (), ("x",), 10)
    assert all(name in str(raised.value) for name in NAMES)
