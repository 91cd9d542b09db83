"""The table of offsets is what the headers of the installed interpreters say."""

import json
import shutil

import pytest

from perfwatch.probes.cpython.bytecode import OPCODES
from perfwatch.probes.cpython.derive import VERSIONS, by_line, offsets_of, opcodes_of
from perfwatch.probes.cpython.layout import OFFSETS, layout_of


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize("minor", VERSIONS)
def test_the_table_is_what_the_headers_give(minor):
    try:
        found = offsets_of(minor)
    except SystemExit as missing:
        pytest.skip(str(missing))
    assert json.loads(OFFSETS.read_text())[minor] == found, "run: make offsets"


def test_a_version_is_known_by_its_minor_number():
    assert layout_of("3.11.7") is layout_of("3.11")
    assert layout_of("3.11.7").minor == (3, 11)
    assert layout_of("3.8")["ts.frame"] == 24
    assert layout_of("3.8").get("ts.cframe") is None


@pytest.mark.parametrize("version", ["", "3", "3.", "2.7.18", "3.7.16", "3.1", "3.111", "3.11x", "3.99.1", "\0"])
def test_an_unknown_version_has_no_layout(version):
    assert layout_of(version) is None


@pytest.mark.parametrize("minor", VERSIONS)
def test_the_instructions_are_what_the_interpreter_says(minor):
    try:
        found = opcodes_of(minor)
    except SystemExit as missing:
        pytest.skip(str(missing))
    assert json.loads(OPCODES.read_text())[minor] == found, "run: make offsets"
    assert by_line(json.loads(OPCODES.read_text())) == OPCODES.read_text()
