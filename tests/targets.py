"""Environments of other interpreters, for the servers of tests: made once, below .venv, from the package index.

A first one takes a minute, or ten seconds where pip has the packages in its cache; after that a test waits for nothing.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from serving import interpreters

NEEDS = ("pyinstrument", "gunicorn", "uvicorn", "fastapi", "flask", "django")
PLACE = Path(__file__).parent.parent / ".venv"
INSTALL_S = 170


def python_of(version):
    """Return the Python of an environment that has `NEEDS`; skips the test, and says why, where it cannot be made."""
    interpreter = interpreters().get(version)
    if interpreter is None:
        pytest.skip(f"pyenv has no Python {version}")
    if not PLACE.is_dir() or Path(sys.prefix) != PLACE:
        pytest.skip(f"environments of other interpreters are made below {PLACE}: make test")
    place = PLACE / f"targets-{version}"
    stamp = place / "installed"
    wanted = f"{interpreter} {' '.join(NEEDS)}"
    with (PLACE / f"targets-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be making it
        if not stamp.exists() or stamp.read_text() != wanted:
            _run(interpreter, "-m", "venv", "--clear", place)
            _run(place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *NEEDS)
            stamp.write_text(wanted)
    return place / "bin" / "python"


def _run(*command):
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]} took over {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"{command[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
