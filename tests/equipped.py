"""Interpreters of other versions with servers installed for them: environments of their own under `build/pythons/`."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest
from serving import interpreters

PLACE = Path(__file__).parent.parent / "build" / "pythons"
PACKAGES = ("aiohttp", "h11", "httptools", "uvicorn", "uvloop", "waitress")


@functools.cache
def equipped(version):
    """Return an interpreter (`3.9`) that has the servers; makes it at first, or skips the test where that fails."""
    python = PLACE / version / "bin" / "python"
    stamp = PLACE / version / "equipped"
    if not stamp.exists():
        base = interpreters().get(version)
        if base is None:
            pytest.skip(f"no CPython {version} under pyenv")
        subprocess.run([base, "-m", "venv", PLACE / version], check=True, capture_output=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        installed = subprocess.run(command, capture_output=True, text=True)
        if installed.returncode:
            pytest.skip(f"{' '.join(PACKAGES)} cannot be installed for {version}: {installed.stderr[-300:]}")
        stamp.touch()
    return python
