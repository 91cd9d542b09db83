"""A picture of the screen as SVG that shows the same everywhere, without a network."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Final

from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import App

_REMOTE: Final = re.compile(r"@font-face\s*\{[^}]*\}\s*|<!--.*?-->\s*", re.DOTALL)
_FONT_FAMILY: Final = re.compile(r"font-family:[^;}]*(Fira Code|arial)[^;}]*")
_STACK: Final = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_MAX_TRIES: Final = 100


def offline_svg(app: App[None]) -> str:
    """Return the current screen as SVG; Textual's own names a font on a content network, this names local ones."""
    svg = _REMOTE.sub("", app.export_screenshot(title="perfwatch"))
    svg = _FONT_FAMILY.sub(f"font-family: {_STACK}", svg)
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some renderers drop leading spaces else


def save(app: App[None], directory: Path) -> Path:
    """Write the picture into a new file that only its owner can read; return where."""
    data = offline_svg(app).encode()
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(_MAX_TRIES):
        path = directory / (f"perfwatch-{stamp}-{number}.svg" if number else f"perfwatch-{stamp}.svg")
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        except OSError as error:
            raise PerfwatchError(
                f"cannot write {path}: {error.strerror}", "start in a directory you can write to"
            ) from None
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return path
    raise PerfwatchError(f"{_MAX_TRIES} pictures of this second are in {directory} already", "try again")
