"""The keys: each has a name, by which a configuration gives it another key and the reference lists it.

The names are made of the bindings: a screen or a list more is in the help, the palette, the reference and the
configuration by itself.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from textual.app import App
from textual.binding import Binding, BindingType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ACTION: Final = re.compile(r"(?P<app>app\.)?(?P<name>\w+)(\((?P<argument>.*)\))?")
_WORD: Final = re.compile(r"'([a-z]\w*)'")
_SUFFIX: Final = re.compile(r"(Screen|Rows|List)$")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SHORT: Final = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "minus": "-",
    "plus": "+",
    "equals_sign": "=",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "escape": "esc",
}


class Section(NamedTuple):
    """Keys that work at one place."""

    where: str
    bindings: tuple[Binding, ...]


class Keyed:
    """Whatever has keys of its own: its bindings get their names when the class is made."""

    KEYS_OF: ClassVar[str] = ""
    """Where the keys work, in words; else the name of the class says it."""
    BINDINGS: ClassVar[list[BindingType]] = []
    kinds: ClassVar[list[type[Keyed]]] = []
    """Every class of the program that has keys, as they were made."""

    def __init_subclass__(cls, **options: bool) -> None:
        if "BINDINGS" in cls.__dict__:
            cls.BINDINGS = [*_named(_kebab(cls), cls.BINDINGS)]
            if cls.__module__.startswith("perfwatch."):  # else: of a test
                Keyed.kinds.append(cls)
        super().__init_subclass__(**options)


def general_first() -> list[type[Keyed]]:
    """Return all classes that have keys: the application's, then those that most others are made of, then by name."""

    def place(kind: type[Keyed]) -> tuple[bool, int, str]:
        return not issubclass(kind, App), -sum(issubclass(other, kind) for other in Keyed.kinds), kind.__name__

    return sorted(Keyed.kinds, key=place)


def section_of(kind: type[Keyed]) -> Section:
    """Return the keys that a class adds to those of its bases."""
    return Section(
        kind.__dict__.get("KEYS_OF") or _kebab(kind).replace("-", " "), tuple(_bindings(kind.__dict__["BINDINGS"]))
    )


def named_keys() -> Iterator[tuple[Section, Binding]]:
    """Yield every key that has a name, once, with where it works."""
    seen: set[str] = set()
    for section in map(section_of, general_first()):
        for binding in section.bindings:
            if binding.id is not None and binding.id not in seen:
                seen.add(binding.id)
                yield section, binding


def shown(binding: Binding, keymap: Mapping[str, str]) -> str:
    """Write the keys of a binding as they are now."""
    changed = keymap.get(binding.id or "")
    if changed is None and binding.key_display:
        return binding.key_display
    keys = (changed or binding.key).split(",")
    return " ".join(_SHORT.get(key.strip(), key.strip()) for key in keys)


def _bindings(bindings: Iterable[BindingType]) -> Iterator[Binding]:
    return (one if isinstance(one, Binding) else Binding(*one) for one in bindings)


def _kebab(kind: type) -> str:
    if kind.__name__.endswith("App"):
        return ""
    return _HUMP.sub("-", _SUFFIX.sub("", kind.__name__)).lower()


def _named(where: str, bindings: Iterable[BindingType]) -> Iterator[Binding]:
    """Name bindings; a second one for the same, such as ctrl+c, has no name and always keeps its key."""
    seen: set[tuple[str, str]] = set()
    for binding in _bindings(bindings):
        what = binding.action, binding.description
        yield binding if what in seen else dataclasses.replace(binding, id=binding.id or name_of(where, binding))
        seen.add(what)


def name_of(where: str, binding: Binding) -> str:
    """Make the name of a key of what it does: `pause`, `page.host`, `overview.filter`, `rows.next-row`."""
    action = _ACTION.fullmatch(binding.action)
    if action is None:
        raise AssertionError(binding.action)
    name, argument = action["name"].replace("_", "-"), action["argument"]
    if argument and (word := _WORD.fullmatch(argument)):
        name = f"{name}.{word[1]}"
    elif argument:
        name = re.sub(r"[^a-z0-9]+", "-", binding.description.lower()).strip("-")
    return name if action["app"] or not where else f"{where}.{name}"
