"""The interpreters that perfwatch has tables of, as far as they are installed here, and a script run by one."""

from __future__ import annotations

import contextlib
import struct
import sys
from pathlib import Path

import pytest
from ledgering import script
from serving import interpreters

from perfwatch.probes import roots
from perfwatch.probes.cpython.derive import VERSIONS
from perfwatch.probes.cpython.python import open_python
from perfwatch.probes.readers.interpreter import find_interpreter

PYTHONS = {name: path for name, path in interpreters().items() if name in VERSIONS}
if Path("/usr/bin/python3.11").exists():
    PYTHONS["distribution's 3.11"] = Path("/usr/bin/python3.11")
OFTEN = {"3.8", "3.11", "3.13"}
"""The oldest, the newest, and one between: each keeps frames in its own way."""
EACH = pytest.mark.parametrize("python", PYTHONS.values(), ids=PYTHONS.keys())
SOME = pytest.mark.parametrize("python", [path for name, path in PYTHONS.items() if name in OFTEN])
EACH_AT_LENGTH = pytest.mark.parametrize(
    "python",
    [pytest.param(path, id=name, marks=() if name in OFTEN else pytest.mark.slow) for name, path in PYTHONS.items()],
)
"""Each, but the others in `make faults` alone: for what takes seconds, and whose parts are tested of each anyway."""


@contextlib.contextmanager
def opened(source, *, python=sys.executable, arguments=()):
    """Run a script and attach to its interpreter; yields (that, the process, the line that it printed)."""
    with script(source, python=python, arguments=arguments) as (process, line):
        read = open_python(process.pid, find_interpreter(roots.PROC, process.pid))
        try:
            yield read, process, line
        finally:
            read.close()


def overwrite(pid, address, *words):
    """Write 64-bit words to the memory of a process."""
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(struct.pack(f"<{len(words)}Q", *words))
