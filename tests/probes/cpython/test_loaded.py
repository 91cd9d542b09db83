"""Which modules a Python has loaded, held against its own `sys.modules`."""

import json
import os

import pytest
from pythons import EACH, opened

from perfwatch.probes import roots
from perfwatch.probes.cpython.loaded import loaded_modules
from perfwatch.probes.errors import ProbeError
from perfwatch.probes.readers.interpreter import find_interpreter

IMPORTS = """
import email.message, json, os, sys, types
sys.modules["gone"] = sys
del sys.modules["gone"]
sys.modules["naïve"] = sys
with open(sys.argv[1], "w") as file:
    json.dump([name for name in sys.modules if isinstance(name, str)], file)
print("up", flush=True)
sys.stdin.read()
"""


@EACH
def test_they_are_those_that_the_program_itself_lists(python, tmp_path):
    told = tmp_path / "modules"
    with opened(IMPORTS, python=python, arguments=[str(told)]) as (_, process, _):
        found = loaded_modules(process.pid, find_interpreter(roots.PROC, process.pid))
    assert found == set(json.loads(told.read_text()))
    assert {"email.message", "naïve"} <= found
    assert "gone" not in found


def test_a_process_that_has_ended_is_told_as_such():
    interpreter = find_interpreter(roots.PROC, os.getpid())
    with pytest.raises(ProbeError):
        loaded_modules(2**22 - 1, interpreter)
