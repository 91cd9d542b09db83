"""docs/mechanisms.md: every mechanism has its section, and what is named there exists in the code."""

import re
from pathlib import Path
from typing import get_args

import pytest

from perfwatch.agent.correlator.judge import RULES
from perfwatch.agent.model import MECHANISMS, PRINCIPLE_OF, Chance

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "mechanisms.md").read_text()
PARTS = ("What it is.", "How perfwatch knows.", "Evidence.", "By hand.", "How to mend it.")
CORRELATOR = "\n".join(path.read_text() for path in sorted((ROOT / "agent" / "correlator").rglob("*.py")))
PRINCIPLES = dict(re.findall(r"^## (\w+): .*?\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL))
SECTIONS = dict(re.findall(r"^### `([\w-]+)`\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = (
    "strace perf pidstat iostat mpstat sar ss nstat vmstat taskset lslocks py-spy openssl curl psql cat redis-cli"
)


def part(mechanism, name):
    return re.search(rf"\*\*{re.escape(name)}\*\*(.*?)(?=^\*\*|\Z)", SECTIONS[mechanism], re.MULTILINE | re.DOTALL)[1]


def test_every_mechanism_has_its_section_below_its_principle():
    assert set(SECTIONS) == set(MECHANISMS)
    for principle, text in PRINCIPLES.items():
        named = re.findall(r"^### `([\w-]+)`", text, re.MULTILINE)
        assert named == [name for name in MECHANISMS if PRINCIPLE_OF[name] == principle.lower()]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_section_says_all_five_things(mechanism):
    for name in PARTS:
        assert len(part(mechanism, name).strip()) > 30, name


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_evidence_that_is_named_exists(mechanism):
    names = re.findall(r"`([a-z_]+)`", part(mechanism, "Evidence."))
    assert len(names) >= 3
    for name in names:
        assert is_evidence(name), name


def is_evidence(name):
    """Whether the correlator makes evidence of this name: as it stands, with `_ms`, or for a kind of code."""
    stem = name.removesuffix("_ms")
    made = (f'"{name}"', f'amount("{stem}"', f'"{stem}"', f'amount("{stem.replace("_", "-")}"')
    return any(one in CORRELATOR for one in made) or re.fullmatch(r"cpu_(own|library|stdlib|native)", name)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_rule_that_is_named_exists(mechanism):
    text = part(mechanism, "How perfwatch knows.")
    rules = {(rule.__module__.rpartition(".")[2], rule.__name__) for rule in RULES}
    named = re.findall(r"`(\w+)` in\s+`agent/correlator/(\w+)\.py`", text)
    assert {(module, rule) for rule, module in named} & rules, named
    for path in re.findall(r"`((?:agent|probes)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_its_commands_are_known(mechanism):
    blocks = re.findall(r"```sh\n(.*?)```", part(mechanism, "By hand."), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert line.split()[0] in COMMANDS.split(), line


def test_every_opportunity_is_told():
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", TEXT, re.MULTILINE)) == sorted(get_args(Chance))
