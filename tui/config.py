"""The configuration: a theme, and other keys for what there is. Whatever is wrong in it is one line with a remedy."""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Final, NamedTuple

from textual.app import App
from textual.keys import Keys, _normalize_key_list

from perfwatch.agent.errors import PerfwatchError
from perfwatch.tui import own_files
from perfwatch.tui.format import clean
from perfwatch.tui.keys import Keyed, named_keys, section_of
from perfwatch.tui.theme import THEMES

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECTIONS: Final = ("keys", "theme")
_MODIFIERS: Final = re.compile(r"^((ctrl|shift|alt|super)\+)*")
_WORDS: Final = frozenset({"space", "minus", "plus", "slash", "colon", "question_mark"})
_NAMED_KEYS: Final = _WORDS | {key.value for key in Keys}


class Config(NamedTuple):
    """What a person wants other than it is."""

    theme: str | None = None
    keymap: Mapping[str, str] = {}
    """Name of a key to the keys, with commas between them."""


def load(environ: Mapping[str, str]) -> Config:
    """Read the first configuration that there is; raises PerfwatchError where it cannot be followed."""
    for path in own_files.config_files(environ):
        data = own_files.read(path, environ)
        if data is not None:
            try:
                return parse(data)
            except PerfwatchError as error:
                raise PerfwatchError(f"{path}: {error.problem}", error.remedy) from None
    return Config()


def parse(data: bytes) -> Config:
    """Read a configuration's text."""
    try:
        told = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PerfwatchError(f"this is no TOML: {clean(str(error))}", "mend that line") from None
    for name in told:
        if name not in _SECTIONS:
            raise PerfwatchError(f"there is no setting {clean(name)!r}", _meant(name, _SECTIONS))
    return Config(_theme(told.get("theme")), _keymap(told.get("keys", {})))


def _theme(told: object) -> str | None:
    if told is None or (isinstance(told, str) and told in THEMES):
        return told
    raise PerfwatchError(f"there is no theme {clean(str(told))!r}", f"one of: {', '.join(THEMES)}")


def _keymap(told: object) -> dict[str, str]:
    if not isinstance(told, dict):
        raise PerfwatchError("keys is no table", 'write [keys], and below it lines such as pause = "p"')
    names = {binding.id: binding for _, binding in named_keys() if binding.id}
    flat = dict(_flat(told))
    for name, keys in flat.items():
        if name not in names:
            raise PerfwatchError(f"there is no key named {clean(name)!r}", _meant(name, tuple(names)))
        if not isinstance(keys, str) or not all(map(_is_key, keys.split(","))):
            examples = 'for example "p", "ctrl+p", "f5" or "p,space"'
            raise PerfwatchError(f"{name} = {clean(str(keys))!r} is no key", examples)
    keymap = {name: str(keys) for name, keys in flat.items()}
    _refuse_clashes(keymap)
    return keymap


def _flat(table: Mapping[str, object], above: str = "") -> list[tuple[str, object]]:
    """Return names with their values: TOML reads `page.host` as a table in a table, where it is not in quotes."""
    flat: list[tuple[str, object]] = []
    for name, value in table.items():
        flat += _flat(value, f"{above}{name}.") if isinstance(value, dict) else [(above + name, value)]
    return flat


def _is_key(key: str) -> bool:
    bare = _MODIFIERS.sub("", key.strip())
    return bare in _NAMED_KEYS or (len(bare) == 1 and bare.isprintable() and not bare.isspace())


def _refuse_clashes(keymap: Mapping[str, str]) -> None:
    """Raise PerfwatchError where one key would do two things on one screen."""
    everywhere = [kind for kind in Keyed.kinds if issubclass(kind, App)]
    for kind in Keyed.kinds:
        taken: dict[str, str] = {}
        places = dict.fromkeys((*(base for base in kind.__mro__ if base in Keyed.kinds), *everywhere))
        bindings = [one for place in places for one in section_of(place).bindings]
        for binding in sorted(bindings, key=lambda one: one.id not in keymap):
            for key in keymap.get(binding.id or "", binding.key).split(","):
                name = binding.id or binding.description
                other = taken.setdefault(_normalize_key_list(key), name)
                if other != name and other in keymap:
                    raise PerfwatchError(f"{key.strip()!r} is the key of {other} and of {name}", "choose another")


def _meant(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "docs/reference.md names them all"
