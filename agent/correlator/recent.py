"""A map that forgets: at least the last `size` entries are kept, at most twice as many."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """Two generations of a dict. (One dict emptied from its front would walk over its holes.)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def put(self, key: Key, value: Value) -> None:
        """Keep a value, in place of an earlier one with this key."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def get(self, key: Key) -> Value | None:
        """Return what is kept for a key."""
        value = self._young.get(key)
        return self._old.get(key) if value is None else value

    def values(self) -> Iterator[Value]:
        """Return what is kept; of a key that was put twice without `pop` between, both."""
        return chain(self._old.values(), self._young.values())

    def pop(self, key: Key) -> Value | None:
        """Return what is kept for a key, and keep it no longer."""
        value = self._young.pop(key, None)
        older = self._old.pop(key, None)
        return older if value is None else value


class RecentLists(Generic[Key, Value]):
    """Lists that forget, by key: at least the last `size` values of all keys are kept, at most twice as many."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._count = 0
        self._young: dict[Key, list[Value]] = {}
        self._old: dict[Key, list[Value]] = {}

    def __len__(self) -> int:
        return sum(map(len, chain(self._old.values(), self._young.values())))

    def add(self, key: Key, value: Value) -> None:
        """Keep a value, after those that this key has."""
        if self._count >= self._size:
            self._old, self._young, self._count = self._young, {}, 0
        self._young.setdefault(key, []).append(value)
        self._count += 1

    def __contains__(self, key: Key) -> bool:
        return key in self._young or key in self._old

    def newest(self, key: Key) -> Iterator[Value]:
        """Yield what is kept for a key, the newest first."""
        return chain(reversed(self._young.get(key, ())), reversed(self._old.get(key, ())))
