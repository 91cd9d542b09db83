"""Which servers the service records: `name:gunicorn port:8000`; pure but for what a process says of its cgroup.

Terms that stand together must all hold; of several such lines one is enough. Without any it is every server that
listens. Patterns are those of a shell (`*`, `?`, `[a-z]`).
"""

from __future__ import annotations

import shlex
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import msgspec

from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.containers import Seen
    from perfwatch.agent.target import Candidate

Kind: TypeAlias = Literal["name", "port", "command", "cgroup", "container", "pid"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
EXAMPLES: Final = 'name:gunicorn, port:8000, command:"*shop.wsgi*", cgroup:"*/shop.service", container:shop, pid:4312'
_NAMING_WORDS: Final = 3
"""Of a command line: `/usr/bin/python3 -m gunicorn`."""


class Term(msgspec.Struct, frozen=True):
    """One thing that must hold of a process."""

    kind: Kind
    pattern: str


class Wanted(msgspec.Struct, frozen=True):
    """A line of terms that must all hold."""

    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return " ".join(f"{term.kind}:{term.pattern}" for term in self.terms)

    def matches(self, candidate: Candidate, seen: Callable[[int], Seen]) -> bool:
        """Whether a process is meant; `seen` tells the cgroup and container of a PID, and is asked only for these."""
        return all(_holds(term, candidate, seen) for term in self.terms)


def parse(text: str) -> Wanted:
    """Understand one line of terms; raises PerfwatchError."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise PerfwatchError(f"--target {text!r} has a quote without its end", f"for example: {EXAMPLES}") from None
    if not words:
        raise PerfwatchError("--target names nothing", f"for example: {EXAMPLES}")
    return Wanted(tuple(_term(word) for word in words))


def is_wanted(candidate: Candidate, lines: tuple[Wanted, ...], seen: Callable[[int], Seen]) -> bool:
    """Whether one of the lines means this process; without lines: whether it listens."""
    if not lines:
        return bool(candidate.listeners)
    return any(line.matches(candidate, seen) for line in lines)


def _term(word: str) -> Term:
    name, _, pattern = word.partition(":")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None or not pattern:
        raise PerfwatchError(f"--target {word!r} is no term", f"for example: {EXAMPLES}")
    if kind in {"port", "pid"} and not pattern.isdecimal():
        raise PerfwatchError(f"--target {word!r} is no number", f"for example: {EXAMPLES}")
    return Term(kind, pattern)


def _holds(term: Term, candidate: Candidate, seen: Callable[[int], Seen]) -> bool:
    match term.kind:
        case "pid":
            return int(term.pattern) in {candidate.pid, candidate.inner_pid}
        case "port":
            return any(address.rpartition(":")[2] == term.pattern for address in candidate.listeners)
        case "name":
            return any(fnmatchcase(name, term.pattern) for name in names_of(candidate))
        case "command":
            return fnmatchcase(candidate.command, term.pattern)
        case "cgroup":
            return any(fnmatchcase(path, term.pattern) for path in seen(candidate.pid).cgroups)
        case "container":
            found = seen(candidate.pid).container
            return found is not None and any(fnmatchcase(name, term.pattern) for name in found.names)


def names_of(candidate: Candidate) -> tuple[str, ...]:
    """Return what one would call a server: its kind, the programs and modules at the beginning of its command line."""
    words = candidate.command.split()[:_NAMING_WORDS]
    kind = (candidate.server,) if candidate.server else ()
    return (*kind, *(word.rpartition("/")[2] for word in words if not word.startswith("-")))
