"""The interpreter of a real process is found, at the address that it says itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ledgering import script
from serving import interpreters

from perfwatch.probes import roots
from perfwatch.probes.errors import Vanished
from perfwatch.probes.readers.interpreter import find_interpreter

SAY = """
import ctypes, sys
print(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")))
sys.stdin.read()
"""
PYTHONS = {"the tests' own": Path(sys.executable), **interpreters()}
if Path("/usr/bin/python3").exists():
    PYTHONS["the distribution's"] = Path("/usr/bin/python3")
KNOWN = {name: path for name, path in PYTHONS.items() if name != "3.6"}  # _PyRuntime came with 3.7


@pytest.mark.parametrize("name", KNOWN)
def test_the_runtime_is_where_the_process_says(name):
    with script(SAY, python=KNOWN[name]) as (process, address):
        found = find_interpreter(roots.PROC, process.pid)
    version = subprocess.run([KNOWN[name], "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert found.runtime_start == int(address)
    assert found.runtime_bytes > 500
    assert version.startswith(found.version)


def test_a_process_without_python_has_none():
    with subprocess.Popen(["sleep", "60"]) as process:
        assert find_interpreter(roots.PROC, process.pid) is None
        process.kill()


def test_a_process_that_has_ended_is_said_to_have():
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(Vanished):
        find_interpreter(roots.PROC, process.pid)


def test_a_deleted_interpreter_is_still_read(tmp_path):
    """As after a package upgrade under a running server."""
    real = Path(find_interpreter(roots.PROC, os.getpid()).path)
    library = tmp_path / real.name
    library.write_bytes(real.read_bytes())
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    with subprocess.Popen(
        [os.path.realpath(sys.executable), "-u", "-c", SAY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        address = process.stdout.readline()
        loaded_copy = str(tmp_path) in Path(f"/proc/{process.pid}/maps").read_text()
        library.unlink()
        found = find_interpreter(roots.PROC, process.pid)
        process.stdin.close()
    if not loaded_copy:
        pytest.skip("this Python has no shared library that could be replaced")
    assert found.runtime_start == int(address)
