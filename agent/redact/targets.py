"""Request paths, and what was asked of other services.

A part that the correlator folds becomes `{7}`, which it folds too; another one becomes `part-7`, which it does not. So
there are as many endpoints as before, and verdicts stay the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.redact.words import ending, split_target
from perfwatch.probes.protocols.http1 import METHODS
from perfwatch.probes.records import CONNECTION_ONLY

if TYPE_CHECKING:
    from perfwatch.agent.redact.names import Names
    from perfwatch.agent.redact.words import Words

_SQL: Final = ("postgresql", "mysql")
_HTTP: Final = ("http/1", "http/2", "grpc")
_CLOSED: Final = ("redis", "memcached", "kafka", "amqp")
"""Those whose operations are names of commands, without anything of the program's own."""
_MARKS: Final = frozenset({"", "{}", "…", "..", "."})
_CODE: Final = re.compile(r"[A-Za-z_][\w.]{0,99}")
_COMMANDS: Final = re.compile(r"[\w.]{1,65}(?: [A-Z]{1,32})?(?: \?)?(?: …)?")
_IDENTIFIER: Final = re.compile(r"""["`][^"`]*["`]|[^\W\d][\w$]*""")
_PARAMETER: Final = re.compile(r"[<{][\w:, ]+[>}]")
_PLAIN_IDENTIFIER: Final = re.compile(r"(?!.*\d{3})[A-Za-z_][A-Za-z0-9_]{0,39}")


class Targets:
    """Hides what is variable in paths and operations."""

    def __init__(self, names: Names, words: Words) -> None:
        self._names, self._words = names, words

    def path(self, target: str) -> str:
        """Return a path with its variable parts hidden."""
        return "/".join(map(self._part, split_target(target)))

    def route(self, route: str) -> str:
        """Return a route as its framework spells it: the names of parameters are code."""
        return "/".join(part if _PARAMETER.fullmatch(part) else self._part(part) for part in route.split("/"))

    def method(self, method: str) -> str:
        """Return a known method; another one came from a client, and may be anything."""
        return method if method in METHODS or method == "?" else "OTHER"

    def operation(self, protocol: str, operation: str) -> str:
        """Return what was asked, without what names anybody."""
        if operation == CONNECTION_ONLY:
            return operation
        verb, _, rest = operation.partition(" ")
        if protocol in _SQL:
            return _IDENTIFIER.sub(self._identifier, operation)
        if protocol in _HTTP:
            return f"{self.method(verb)} {self._called(protocol, rest)}" if rest else self.method(verb)
        if protocol in _CLOSED and _COMMANDS.fullmatch(operation):
            return operation
        if protocol in {"dns", "mongodb", "nats"} and _CODE.fullmatch(verb):
            return f"{verb} {self._name(protocol, rest)}".rstrip()
        return self._names.of("operation", operation)

    def _called(self, protocol: str, path: str) -> str:
        if protocol == "grpc" and all(_CODE.fullmatch(part) for part in path.strip("/").split("/")):
            return path  # package, service and method are names of code
        return self.path(path)

    def _name(self, protocol: str, name: str) -> str:
        if name in _MARKS or (protocol == "mongodb" and _PLAIN_IDENTIFIER.fullmatch(name)):
            return name
        return self._names.of("host" if protocol == "dns" else "name", name)

    def _identifier(self, found: re.Match[str]) -> str:
        quote = found[0][0] if found[0][0] in '"`' else ""
        name = found[0].strip(quote) if quote else found[0]
        return found[0] if _PLAIN_IDENTIFIER.fullmatch(name) else f"{quote}{self._names.of('name', name)}{quote}"

    def _part(self, part: str) -> str:
        if part in _MARKS or self._words.keep(part):
            return part
        if fold(part) == "{}":
            return self._names.of("value", part, "{{{number}}}") + ending(part)
        return self._names.of("part", part) + ending(part)
