"""Interpreters whose collector is looked at, for tests."""

from __future__ import annotations

from pathlib import Path

from serving import interpreters

DEBIAN = Path("/usr/bin/python3.11")
"""Stripped, with static probes."""
PYTHONS = {version: path for version, path in interpreters().items() if version not in {"3.6", "3.7"}}


def library(version):
    """Return the file that the interpreter's code is in."""
    python = PYTHONS[version]
    shared = python.parents[1] / "lib" / f"libpython{version}.so.1.0"
    return shared if shared.exists() else python.resolve()
