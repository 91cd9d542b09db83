"""Writes offsets.json and opcodes.json anew from the interpreters that pyenv has, and their headers: `make offsets`.

For a new version: add it to `VERSIONS`, and a branch to offsets.c where a struct has changed. Needs a C compiler. The
offsets hold for the machine that this runs on: x86-64.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from perfwatch.probes.cpython.bytecode import OPCODES
from perfwatch.probes.cpython.layout import OFFSETS

VERSIONS: Final = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
_SOURCE: Final = Path(__file__).with_name("offsets.c")
_OWN_STRUCTS: Final = Path(__file__).with_name("own_structs.py")
_OWN_OPCODES: Final = Path(__file__).with_name("own_opcodes.py")
_INSTALLED: Final = Path.home() / ".pyenv" / "versions"


def offsets_of(minor: str) -> dict[str, int]:
    """Return the offsets that the headers of a version give, and those that its interpreter measured itself."""
    home = _home(minor)
    include = home / "include" / f"python{minor}"
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "offsets"
        compiling = ["cc", "-w", f"-I{include}", f"-I{include}/internal", str(_SOURCE), "-o", str(program)]
        subprocess.run(compiling, check=True)
        found: dict[str, int] = json.loads(subprocess.run([program], check=True, capture_output=True).stdout)
    return {**found, **_said_by(home, minor, _OWN_STRUCTS)}


def opcodes_of(minor: str) -> dict[str, dict[str, Any]]:
    """Return what an interpreter says of its instructions; see own_opcodes.py."""
    found: dict[str, dict[str, Any]] = _said_by(_home(minor), minor, _OWN_OPCODES)
    return found


def _said_by(home: Path, minor: str, script: Path) -> dict[str, Any]:
    """Return what an interpreter prints, as JSON, when it runs one of our scripts."""
    command = [str(home / "bin" / f"python{minor}"), "-I", str(script)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def _home(minor: str) -> Path:
    """Where the newest patch release of a version is installed."""
    found = sorted(_INSTALLED.glob(f"{minor}.*"), key=lambda path: int(path.name.rpartition(".")[2]))
    if not found:
        sys.exit(f"there is no Python {minor} below {_INSTALLED}: pyenv install {minor}")
    return found[-1]


def main() -> None:
    """Write the tables."""
    OFFSETS.write_text(json.dumps({minor: offsets_of(minor) for minor in VERSIONS}, indent=1) + "\n")
    OPCODES.write_text(by_line({minor: opcodes_of(minor) for minor in VERSIONS}))
    sys.stdout.write(f"wrote {OFFSETS.name}, {OPCODES.name}\n")


def by_line(tables: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Return JSON with a line for each instruction."""
    versions = (
        f'"{minor}": {{\n' + ",\n".join(f'"{name}": {json.dumps(facts)}' for name, facts in table.items()) + "\n}"
        for minor, table in tables.items()
    )
    return "{\n" + ",\n".join(versions) + "\n}\n"


if __name__ == "__main__":
    main()
