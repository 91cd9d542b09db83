"""Write docs/reference.md and its like from the program itself; a test compares. Run by `make reference`."""

from __future__ import annotations

import inspect
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from make_errors import errors

from perfwatch.agent import report_contract
from perfwatch.agent.cli import cli
from perfwatch.agent.model import BUCKETS, MECHANISMS, PRINCIPLE_OF
from perfwatch.agent.session import format as session_format
from perfwatch.probes import table
from perfwatch.tui import app as _app  # noqa: F401 - with it all that has keys is loaded
from perfwatch.tui.filtering import TERMS
from perfwatch.tui.keys import general_first, section_of, shown
from perfwatch.tui.theme import THEMES

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS: Final = Path(__file__).parent
WIDTH: Final = 100


def reference() -> str:
    """Return the reference: commands, keys, buckets, mechanisms, probes, the report's contract."""
    parts = ["# Reference", "", "Made from the program itself by `make reference`.", ""]
    parts += ["## Commands", "", *_commands()]
    parts += ["## Keys", "", *_keys()]
    parts += ["## Filters", "", "Terms stand side by side; all of them must hold.", "", *_filters()]
    parts += ["## Buckets", "", " · ".join(f"`{bucket}`" for bucket in BUCKETS) + " · `unaccounted`", ""]
    parts += ["## Mechanisms", "", "| mechanism | principle |", "|---|---|"]
    parts += [f"| `{mechanism}` | {PRINCIPLE_OF[mechanism]} |" for mechanism in MECHANISMS]
    parts += ["", "## Probes", "", *_probes()]
    parts += ["", f"## The report as JSON: `{report_contract.SCHEMA}`", "", *_contract()]
    return "\n".join(parts)


def recording() -> str:
    """Return the recording's format: the contract of its module, and the schema."""
    contract = inspect.getdoc(session_format) or ""
    title, _, rest = contract.partition("\n")
    schema = "\n\n".join(f"{table.ddl};" for table in session_format.CURRENT.tables)
    return f"# The recording\n\n{title}\n{rest}\n\n## Schema\n\n```sql\n{schema}\n```\n"


def _commands() -> Iterator[str]:
    for context in command_contexts():
        if context.parent is not None:
            yield from (f"### {context.command_path}", "", "```", context.command.get_help(context), "```", "")


def command_contexts(
    command: click.Command = cli, name: str = "perfwatch", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Yield a command, then those below it, each in its context."""
    settings = command.context_settings | {"max_content_width": WIDTH, "terminal_width": WIDTH}
    context = click.Context(command, parent, name, **settings)
    yield context
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is None:
                raise AssertionError(below)
            yield from command_contexts(found, below, context)


def _keys() -> Iterator[str]:
    yield from ("| where | key | what it does | name |", "|---|---|---|---|")
    told: set[str | None] = set()
    for kind in general_first():
        where, bindings = section_of(kind)
        for binding in bindings:
            if binding.id is None or binding.id not in told:
                told.add(binding.id)
                name = "always so" if binding.id is None else f"`{binding.id}`"
                yield f"| {where} | `{shown(binding, {})}` | {binding.description} | {name} |"
    yield from ("", "Another key by its name, in `~/.config/perfwatch/config.toml`:", "", "```toml")
    yield from ('theme = "light"', "", "[keys]", 'pause = "p"', '"page.host" = "h,f9"', "```", "")
    yield from ("Themes: " + "; ".join(f"`{name}`, {about}" for name, about in THEMES.items()) + ".", "")


def _filters() -> Iterator[str]:
    yield from ("| term | lets through |", "|---|---|")
    yield from (f"| `{example}` | {text} |" for example, text in TERMS)
    yield ""


def _probes() -> Iterator[str]:
    yield "| probe | every | at least every | measures | source | cost of a reading | without it one does not know |"
    yield "|---|---|---|---|---|---|---|"
    for entry in table.ENTRIES:
        made = table.constructor(entry)
        period_s = made(0, lambda _: None).period_s if entry in table.CORES else made(tuple).period_s
        slowest_s = max(period_s, entry.slowest_s)
        yield (
            f"| `{entry.name}` | {period_s:g} s | {slowest_s:g} s | {entry.measures} | {entry.source} | {entry.cost} | "
            f"{entry.lost} |"
        )
    yield "\nOver budget, the dearest probe is read less often, down to *at least every*; `--rate` sets *every*."


def _contract() -> Iterator[str]:
    for member in sorted(_structs(report_contract.Report), key=lambda struct: (struct.__name__, struct.__module__)):
        fields = ", ".join(f"`{field}`" for field in member.__struct_fields__)
        yield f"- **{member.__name__}**: {_first_line(member)} {fields}"
    yield ""


def _structs(root: type) -> set[type[msgspec.Struct]]:
    """Return a JSON object's type and those of all objects in it."""
    found: set[type[msgspec.Struct]] = set()
    left: list[object] = [root]
    while left:
        kind = left.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
            found.add(kind)
            left += typing.get_type_hints(kind).values()
        left += typing.get_args(kind)
    return found


def _first_line(member: type) -> str:
    return (inspect.getdoc(member) or "").partition("\n\n")[0].replace("\n", " ")


PAGES: Final = {"reference.md": reference, "recording.md": recording, "errors.md": errors}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (DOCS / page).write_text(make())
        sys.stdout.write(f"wrote docs/{page}\n")
