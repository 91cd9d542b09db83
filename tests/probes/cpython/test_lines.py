"""Line tables, against what each interpreter makes of its own."""

import json
import subprocess

import costing
import pytest
from pythons import EACH

from perfwatch.probes.cpython.lines import MAX_TABLE_BYTES, Lines

# What sys._getframe().f_lineno goes by (PyCode_Addr2Line) is only shown by co_lines(), which came with 3.10.
DUMP = """
import importlib.util, json, sys, types

def before_3_10(code):
    def line(at):
        offset, line = 0, code.co_firstlineno
        for step, delta in zip(code.co_lnotab[::2], code.co_lnotab[1::2]):
            offset += step
            if offset > at:
                break
            line += (delta ^ 128) - 128
        return line
    return [line(at) for at in range(0, len(code.co_code), 2)]

def dump(code):
    if sys.version_info < (3, 10):
        table, lines = code.co_lnotab, before_3_10(code)
    else:
        table, lines = code.co_linetable, [n or 0 for a, b, n in code.co_lines() for _ in range(a, b, 2)]
    print(json.dumps([table.hex(), code.co_firstlineno, lines]))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            dump(constant)

for name in ("argparse", "dataclasses", "json.encoder", "decimal", "asyncio.tasks", "this"):
    with open(importlib.util.find_spec(name).origin, encoding="utf-8") as file:
        dump(compile(file.read(), name, "exec"))
exec(compile(chr(10) * 5000 + "dump((lambda: 1).__code__)", "far", "exec"))
"""


@EACH
def test_each_instruction_has_the_line_that_its_interpreter_says(python):
    done = subprocess.run([python, "-c", DUMP], capture_output=True, text=True, check=True)
    minor = tuple(map(int, subprocess.run([python, "-V"], capture_output=True, text=True).stdout[7:].split(".")[:2]))
    seen = 0
    for told in done.stdout.splitlines():
        table, first, lines = json.loads(told)
        found = Lines(minor, bytes.fromhex(table), first)
        assert [found.at(2 * at) for at in range(len(lines))] == lines
        assert found.at(-2) == first
        seen += len(lines)
    assert seen > 10000


@pytest.mark.parametrize("minor", [(3, 8), (3, 10), (3, 11)])
@pytest.mark.parametrize("table", [b"", b"\0", b"\x7f" * 1000, b"\x80" * 1000, b"\xff" * 1000, b"\xf0\x7f\x7f" * 999])
def test_a_table_of_garbage_gives_lines_that_can_be(minor, table):
    found = Lines(minor, table, 7)
    assert all(0 <= found.at(at) < 1 << 30 for at in range(-2, 3000, 7))


@pytest.mark.parametrize("byte", range(0, 256, 15))
@pytest.mark.parametrize("minor", [(3, 8), (3, 10), (3, 11)])
def test_a_huge_table_costs_little(byte, minor):
    with costing.at_most(0.5):
        Lines(minor, bytes([byte]) * (MAX_TABLE_BYTES * 20), 1).at(1 << 40)
