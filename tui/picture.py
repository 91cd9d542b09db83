"""The screen as files: an SVG that shows the same everywhere, without a network, and the bare text."""

from __future__ import annotations

import os
import re
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    from pathlib import Path

    from textual.app import App

_REMOTE: Final = re.compile(r"@font-face\s*\{[^}]*\}\s*|<!--.*?-->\s*", re.DOTALL)
_FONT_FAMILY: Final = re.compile(r"font-family:[^;}]*(Fira Code|arial)[^;}]*")
_STACK: Final = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_MAX_TRIES: Final = 100
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def offline_svg(app: App[None]) -> str:
    """Return the current screen as SVG; Textual's own names a font on a content network, this names local ones."""
    svg = _REMOTE.sub("", app.export_screenshot(title="perfwatch"))
    svg = _FONT_FAMILY.sub(f"font-family: {_STACK}", svg)
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some renderers drop leading spaces else


def plain_text(app: App[None]) -> str:
    """Return what stands on the current screen, without colours."""
    strips = app.screen._compositor.render_strips()  # noqa: SLF001 - what Textual's own pictures are made of
    return "".join(f"{strip.text.rstrip()}\n" for strip in strips)


def save(app: App[None], directory: Path) -> tuple[Path, ...]:
    """Write picture and text into new files that only their owner can read; return where."""
    contents = {".svg": offline_svg(app), ".txt": plain_text(app)}
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(_MAX_TRIES):
        name = f"perfwatch-{stamp}-{number}" if number else f"perfwatch-{stamp}"
        paths = tuple(directory / (name + suffix) for suffix in contents)
        with suppress(FileExistsError):
            _write(dict(zip(paths, contents.values(), strict=True)))
            return paths
    raise PerfwatchError(f"{_MAX_TRIES} pictures of this second are in {directory} already", "try again")


def _write(contents: dict[Path, str]) -> None:
    """Make all of the files, or, where one is there already, none."""
    with ExitStack() as undo, ExitStack() as opened:
        files = []
        for path in contents:
            try:
                file = os.fdopen(os.open(path, _NEW, 0o600), "w", encoding="utf-8")
            except FileExistsError:
                raise
            except OSError as error:
                raise PerfwatchError(
                    f"cannot write {path}: {error.strerror}", "start in a directory you can write to"
                ) from None
            undo.callback(path.unlink)
            files.append(opened.enter_context(file))
        for file, content in zip(files, contents.values(), strict=True):
            file.write(content)
        undo.pop_all()
