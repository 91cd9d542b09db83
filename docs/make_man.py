"""Write the manual pages, docs/man/*.1, from the command line itself; a test compares. Run by `make reference`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

sys.path.insert(0, str(Path(__file__).parent))

from make_errors import EXITS, RUN_EXITS
from make_reference import command_contexts

if TYPE_CHECKING:
    from collections.abc import Iterator

MAN: Final = Path(__file__).parent / "man"
ENVIRONMENT: Final = (
    ("NO_COLOR", "No colours on the screen."),
    ("XDG_CONFIG_HOME, XDG_STATE_HOME", "Where configuration and state are, instead of ~/.config and ~/.local/state."),
)
FILES: Final = (
    ("~/.config/perfwatch/config.toml", "Theme and keys of the screen."),
    ("~/.local/state/perfwatch/state.json", "Page, sorting, filter and theme, kept from one run to the next."),
    ("FILE.bookmarks.json", "The bookmarks of the recording FILE."),
)


def pages() -> dict[str, str]:
    """Return all pages by the names of their files."""
    contexts = {_name(context): context for context in command_contexts()}
    return {f"{name}.1": "\n".join(_page(name, context, contexts)) + "\n" for name, context in contexts.items()}


def _page(name: str, context: click.Context, contexts: dict[str, click.Context]) -> Iterator[str]:
    command = context.command
    summary, *described = _paragraphs(inspect.cleandoc(command.help or ""))
    yield f'.TH {_roff(name.upper())} 1 "" perfwatch "perfwatch manual"'
    yield from (".SH NAME", rf"{_roff(name)} \- {_roff(_short(summary))}", ".SH SYNOPSIS")
    yield rf"\fB{_roff(context.command_path)}\fR {' '.join(map(_italic, command.collect_usage_pieces(context)))}"
    yield from (".SH DESCRIPTION", _roff(summary))
    for paragraph in described:
        yield from (".PP", _roff(paragraph))
    options = [one for one in command.get_params(context) if isinstance(one, click.Option) and not one.hidden]
    yield from _listed("OPTIONS", ((_spelled(one, context), one.help or "") for one in options))
    if isinstance(command, click.Group):
        below = {
            one: found for one, found in contexts.items() if found.parent is not None and _name(found.parent) == name
        }
        listed = (
            (_bold(f"{one}(1)"), _short(_paragraphs(found.command.help or "")[0])) for one, found in below.items()
        )
        yield from _listed("COMMANDS", listed)
    yield from _epilog(command.epilog or "")
    exits = (*EXITS, *RUN_EXITS) if name == "perfwatch-run" else EXITS
    yield from _listed("EXIT STATUS", ((_bold(code), text) for code, text in exits))
    if name == "perfwatch":
        yield from _listed("ENVIRONMENT", ((_bold(variable), text) for variable, text in ENVIRONMENT))
        yield from _listed("FILES", ((_italic(file), text) for file, text in FILES))
    if context.parent is not None:
        yield from (".SH SEE ALSO", _bold(f"{_name(context.parent)}(1)"))


def _epilog(epilog: str) -> Iterator[str]:
    """Yield the parts of what stands below the options: a title with a colon, then lines that stay as they are."""
    for part in epilog.split("\b"):
        title, _, lines = part.strip().partition(":\n")
        if lines:
            yield from (f".SH {_roff(title.upper())}", ".EX", *map(_roff, lines.splitlines()), ".EE")


def _listed(title: str, items: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[str]:
    yield f".SH {title}"
    for term, text in items:
        yield from (".TP", term, _roff(text))


def _spelled(option: click.Option, context: click.Context) -> str:
    """Return an option as it is written: names in bold, its value in italics."""
    names = ", ".join(_bold(name) for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} {_italic(option.make_metavar(context))}"


def _paragraphs(text: str) -> list[str]:
    return [" ".join(one.split()) for one in text.split("\n\n")]


def _short(text: str) -> str:
    """Return a first sentence as a title has it: without its full stop."""
    return re.split(r"(?<=[a-z)`])\.(?: |$)|; |: ", text, maxsplit=1)[0]


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _bold(text: str) -> str:
    return rf"\fB{_roff(text)}\fR"


def _italic(text: str) -> str:
    return rf"\fI{_roff(text)}\fR"


def _roff(text: str) -> str:
    r"""Escape what roff would obey: `\`, `-` (a minus that can be copied), and a dot or quote at a line's beginning."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("…", r"\[u2026]").replace("'", r"\(aq")
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def write() -> None:
    """Write all pages, and take away those of commands that are no more."""
    made = pages()
    MAN.mkdir(exist_ok=True)
    for old in MAN.glob("*.1"):
        if old.name not in made:
            old.unlink()
    for name, page in made.items():
        (MAN / name).write_text(page)
    sys.stdout.write(f"wrote {len(made)} pages to docs/man\n")


if __name__ == "__main__":
    write()
