"""Attaching to an interpreter: what it is, and what is refused."""

import subprocess
from pathlib import Path

import msgspec
import pytest
from ledgering import script
from pythons import EACH, opened, overwrite
from sampling import open_descriptors
from serving import interpreters

from perfwatch.probes import roots
from perfwatch.probes.cpython.python import open_python
from perfwatch.probes.errors import Unavailable, Vanished
from perfwatch.probes.readers.interpreter import find_interpreter

WAIT = "import sys; print('up'); sys.stdin.read()"
INVENT = """
import ctypes, sys
size = int(sys.argv[1])
garbage = (ctypes.c_uint64 * (size // 8))(*[int(word) for word in sys.argv[2:]])
print(ctypes.addressof(garbage))
sys.stdin.read()
"""


@EACH
def test_each_version_is_known_and_fits(python):
    with opened(WAIT, python=python) as (read, process, _):
        version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
        assert version.startswith(read.version)
        assert read.pid == process.pid
        assert read.memory.word(read.interpreter_state + read.layout["is.id"]) == 0
        assert "TracerPid:\t0" in Path(f"/proc/{process.pid}/status").read_text()


@pytest.mark.skipif("3.7" not in interpreters(), reason="needs a Python 3.7")
def test_a_version_without_a_table_is_refused():
    with pytest.raises(Unavailable, match=r"no table of Python 3\.7"), opened(WAIT, python=interpreters()["3.7"]):
        pass


@EACH
def test_a_build_with_other_structs_is_refused_and_nothing_stays_open(python):
    before = open_descriptors()
    with script(WAIT, python=python) as (process, _):
        found = find_interpreter(roots.PROC, process.pid)
        larger = msgspec.structs.replace(found, runtime_bytes=found.runtime_bytes + 8)
        nameless = msgspec.structs.replace(found, version=None)
        elsewhere = msgspec.structs.replace(found, runtime_start=4096)
        shifted = msgspec.structs.replace(found, runtime_start=found.runtime_start + 8)
        for wrong in (larger, elsewhere, shifted):
            with pytest.raises(Unavailable):
                open_python(process.pid, wrong)
        if "3.13" not in str(python):  # which says itself what it is
            with pytest.raises(Unavailable, match="cannot be told"):
                open_python(process.pid, nameless)
    with pytest.raises(Vanished):
        open_python(process.pid, found)
    assert open_descriptors() == before


COOKIE = int.from_bytes(b"xdebugpy", "little")
GARBAGE = {
    "zeros": [],
    "ones": [2**64 - 1] * 1000,
    "pointers to nowhere": [8] * 1000,
    "free-threaded": [COOKIE, 0x030D00F0, 1],
    "a version that is to come": [COOKIE, 0x0363_00F0, 0],
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_its_place_is_refused(garbage):
    """A process that says that its `_PyRuntime` is what it likes."""
    with script(INVENT, arguments=[283320, *GARBAGE[garbage]]) as (process, place):
        found = find_interpreter(roots.PROC, process.pid)
        with pytest.raises(Unavailable):
            open_python(process.pid, msgspec.structs.replace(found, runtime_start=int(place)))


def test_a_runtime_that_points_at_itself_is_refused():
    with script(INVENT, arguments=[283320]) as (process, place):
        found = find_interpreter(roots.PROC, process.pid)
        overwrite(process.pid, int(place), *[int(place)] * 10000)
        with pytest.raises(Unavailable, match="does not lie where it should"):
            open_python(process.pid, msgspec.structs.replace(found, runtime_start=int(place)))
