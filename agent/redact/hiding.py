"""Walks over records by their declared types, and lets each text through the rule that is laid down for it."""

from __future__ import annotations

import re
import types
import typing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from perfwatch.agent.redact.names import Names
from perfwatch.agent.redact.places import Places
from perfwatch.agent.redact.prose import plain
from perfwatch.agent.redact.rules import RULES
from perfwatch.agent.redact.targets import Targets
from perfwatch.probes.frames import Frame
from perfwatch.probes.records import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.redact.words import Words

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_Way: TypeAlias = "Callable[[Any], Any]"
_KERNEL: Final = re.compile(r"[A-Za-z0-9_.:+-]{0,64}")
_RELEASE: Final = re.compile(r"\d+(?:\.\d+){0,3}")
_DETAIL: Final = re.compile(r"\d+ workers?|process(?:es)? [\d, and]+ and all (?:its|their) children have ended")
_KNOWN: Final = 8192


class Hiding:
    """Redacts the records of one recording; the pseudonyms are those of this object alone."""

    def __init__(self, words: Words) -> None:
        self._names = names = Names()
        self._targets, self._places = Targets(names, words), Places(names)
        self._ways: dict[type, dict[str, _Way]] = {}
        self._rules: dict[str, _Way] = {
            **{name: getattr(self._targets, name) for name in ("method", "path", "route")},
            **{name: getattr(self._places, name) for name in ("address", "host", "function", "source", "file")},
            **{name: getattr(self._places, name) for name in ("device", "cgroup", "process")},
            "kernel": self._kernel,
            "release": self._release,
            "detail": self._detail,
            "command": self._command,
            "prose": plain,
        }
        self._frame = lru_cache(_KNOWN)(self._frame_anew)

    def hide(self, record: _Struct) -> _Struct:
        """Return a record, or what a session says of itself, with its texts redacted."""
        if isinstance(record, Frame):
            return typing.cast("_Struct", self._frame(record))
        kind = type(record)
        ways = self._ways.get(kind)
        if ways is None:
            ways = self._ways[kind] = self._ways_of(kind)
        if not ways:
            return record
        changes = {name: way(getattr(record, name)) for name, way in ways.items()}
        if isinstance(record, Call) and record.operation is not None:
            changes["operation"] = self._targets.operation(record.protocol, record.operation)
        return msgspec.structs.replace(record, **changes)

    def _frame_anew(self, frame: Frame) -> Frame:
        places = self._places
        file = places.native(frame.file) if frame.is_native else places.source(frame.file)
        return Frame(places.function(frame.function), file, frame.line, frame.is_native)

    def _ways_of(self, kind: type[msgspec.Struct]) -> dict[str, _Way]:
        """Return what becomes of each field that has a text in it."""
        rules = RULES.get(kind, {})
        found = {name: self._way(hint, rules.get(name, "")) for name, hint in typing.get_type_hints(kind).items()}
        return {name: way for name, way in found.items() if way is not None}

    def _way(self, hint: object, rule: str) -> _Way | None:
        """Return what becomes of a value of a type; None for one that has no text in it."""
        if hint is str:
            return self._rules.get(rule, self._hidden)
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return self.hide if has_text(hint) else None
        inner = [self._way(one, rule) for one in typing.get_args(hint) if one is not Ellipsis]
        if typing.get_origin(hint) is typing.Literal or not any(inner):
            return None
        if typing.get_origin(hint) in {typing.Union, types.UnionType}:
            (way,) = filter(None, inner)
            return lambda value: None if value is None else way(value)
        if len(inner) == 1:
            only = inner[0]
            return lambda values: tuple(map(typing.cast("_Way", only), values))
        return lambda values: tuple(way(one) if way else one for way, one in zip(inner, values, strict=True))

    def _hidden(self, text: str) -> str:
        return self._names.of("text", text)

    def _kernel(self, text: str) -> str:
        return text if _KERNEL.fullmatch(text) else self._hidden(text)

    def _release(self, text: str) -> str:
        found = _RELEASE.match(text)
        return found[0] if found else "?"

    def _detail(self, text: str) -> str:
        return text if _DETAIL.fullmatch(text) else self._places.process(text)

    def _command(self, text: str) -> str:
        """Return the program alone: arguments hold secrets, paths and names."""
        return f"{self._places.process(text.partition(' ')[0].rpartition('/')[2])} …" if text else text


def has_text(kind: type[msgspec.Struct]) -> bool:
    """Whether there is a text anywhere in a struct."""
    return any(map(_has_text, typing.get_type_hints(kind).values()))


def _has_text(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return has_text(hint)
    return hint is str or (typing.get_origin(hint) is not typing.Literal and any(map(_has_text, typing.get_args(hint))))
