"""Write docs/errors.md: what a failure says, read from the program's own text. Run by `make reference`."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
EXITS: Final = (
    ("0", "It did what was asked; also a recording that was ended by an interrupt (Ctrl-C, SIGTERM)."),
    ("1", "It could not: one line on the standard error says why, and what to do about it."),
    ("2", "It was called wrongly: a usage line says how."),
    ("130", "It was interrupted while it did anything but record."),
)
RUN_EXITS: Final = (("127", "The program could not be started."), ("any other", "That of the program."))
KINDS: Final = {"PerfwatchError": "Failures", "Unavailable": "What a probe says that cannot run"}
ABOUT: Final = {
    "Failures": "The line begins with `perfwatch: `, and the exit code is 1. In Python it is a `PerfwatchError`.",
    "What a probe says that cannot run": (
        "The recording goes on without it: `perfwatch doctor`, the report and the screen say so. Where nothing can be "
        "measured at all, it is a failure."
    ),
}
AREAS: Final = {
    "agent/session": "The file of a recording",
    "agent": "Targets, options, reports",
    "tui": "The screen and its configuration",
    "probes": "Probes",
}
_TEXTS: Final = {"strerror": "reason", "error": "reason", "code": "number", "str": "reason", "_reason": "reason"}


class Message(NamedTuple):
    """One that the program can give; what it puts into it stands in angle brackets."""

    kind: str
    area: str
    problem: str
    remedy: str


def errors() -> str:
    """Return the page."""
    parts = [
        "# Errors and exit codes",
        "",
        "Made from the program itself by `make reference`.",
        "",
        "## Exit codes",
        "",
    ]
    parts += ["| code | it means |", "|---|---|", *(f"| {code} | {text} |" for code, text in EXITS)]
    parts += ["", "Of `perfwatch run` also:", "", "| code | it means |", "|---|---|"]
    parts += [*(f"| {code} | {text} |" for code, text in RUN_EXITS), ""]
    for kind, found in groupby(messages(), key=lambda one: one.kind):
        parts += [f"## {kind}", "", ABOUT[kind], ""]
        for area, listed in groupby(found, key=lambda one: one.area):
            parts += [f"### {area}", "", "| it says | what to do |", "|---|---|"]
            parts += [f"| {_cell(one.problem)} | {_cell(one.remedy)} |" for one in listed]
            parts.append("")
    return "\n".join(parts)


@cache
def messages() -> tuple[Message, ...]:
    """Return all messages whose words stand in the program, by kind and area, each once."""
    files = (file for folder in ("agent", "probes", "tui") for file in sorted((ROOT / folder).rglob("*.py")))
    found = {one for file in files for one in _in_file(file)}
    return tuple(sorted(found, key=lambda one: ([*ABOUT].index(one.kind), [*AREAS.values()].index(one.area), one)))


def pattern(message: Message) -> re.Pattern[str]:
    """Return what a line matches that gives this message."""
    told = f"{message.problem} ({message.remedy})" if message.remedy else message.problem
    return re.compile(re.sub(r"<[\w ]+>", ".*", re.escape(told).replace("\\ ", " ")), re.DOTALL)


def _in_file(file: Path) -> Iterator[Message]:
    tree = ast.parse(file.read_text())
    known = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    name = str(file.relative_to(ROOT))
    area = next(title for prefix, title in AREAS.items() if name.startswith(prefix))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
            problem = _text(node.args[0], known)
            remedy = _text(node.args[1], known) if len(node.args) > 1 else ""
            if not re.fullmatch(r"<[^>]*>", problem):
                yield Message(KINDS[node.func.id], area, problem, remedy)


def _text(node: ast.expr, known: dict[str, ast.expr]) -> str:
    """Return a text of the source, with `<path>` where it puts something in."""
    match node:
        case ast.Constant(value=value):
            text = str(value)
        case ast.JoinedStr(values=values):
            text = "".join(_text(one, known) for one in values)
        case ast.FormattedValue(format_spec=ast.JoinedStr()):
            text = "<number>"
        case ast.FormattedValue(value=value):
            text = _text(value, known)
        case ast.Name(id=name) if isinstance(known.get(name), ast.Constant | ast.JoinedStr):
            text = _text(known[name], known)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            text = f"<{_TEXTS.get(name, name.strip('_').lower().replace('_', ' '))}>"
        case ast.Call(func=ast.Name(id=name)) if name in _TEXTS:
            text = f"<{_TEXTS[name]}>"
        case ast.Call(args=[first, *_]):
            text = _text(first, known)
        case _:
            text = "<what>"
    return text


def _cell(text: str) -> str:
    r"""Return a text as code in a cell of a table: `<path>` and `|` are no markup there."""
    return f"`{text.replace('|', chr(92) + '|').replace('`', chr(39))}`" if text else ""
