"""Writes offsets.json anew from the headers of the interpreters that pyenv has: `make offsets`.

For a new version: add it to `VERSIONS`, and a branch to offsets.c where a struct has changed. Needs a C compiler. What
it writes holds for x86-64 and AArch64 alike where no struct has a field of another size; only x86-64 was compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from perfwatch.probes.cpython.layout import OFFSETS

VERSIONS: Final = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
_SOURCE: Final = Path(__file__).with_name("offsets.c")
_INSTALLED: Final = Path.home() / ".pyenv" / "versions"


def offsets_of(minor: str) -> dict[str, int]:
    """Return the offsets that the headers of a version give."""
    home = _home(minor)
    include = home / "include" / f"python{minor}"
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "offsets"
        compiling = ["cc", "-w", f"-I{include}", f"-I{include}/internal", str(_SOURCE), "-o", str(program)]
        subprocess.run(compiling, check=True)
        found: dict[str, int] = json.loads(subprocess.run([program], check=True, capture_output=True).stdout)
    return found


def _home(minor: str) -> Path:
    """Where the newest patch release of a version is installed."""
    found = sorted(_INSTALLED.glob(f"{minor}.*"), key=lambda path: int(path.name.rpartition(".")[2]))
    if not found:
        sys.exit(f"there is no Python {minor} below {_INSTALLED}: pyenv install {minor}")
    return found[-1]


def main() -> None:
    """Write the table."""
    OFFSETS.write_text(json.dumps({minor: offsets_of(minor) for minor in VERSIONS}, indent=1) + "\n")
    sys.stdout.write(f"wrote {OFFSETS.name}\n")


if __name__ == "__main__":
    main()
