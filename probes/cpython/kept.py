"""What was read of a process and is asked for again and again: kept for a second, for it may change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

KEPT_FOR_NS: Final = 1_000_000_000
MAX_KEPT: Final = 4096

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """What `read` says of each key; raises what that does. It is never None."""

    def __init__(self, read: Callable[[K], V], most: int = MAX_KEPT) -> None:
        self._read = read
        self._most = most
        self._known: dict[K, V] = {}
        self._until_ns = 0

    def of(self, key: K) -> V:
        """Return what was read of a key within the last second."""
        if time.monotonic_ns() > self._until_ns or len(self._known) > self._most:
            self._known.clear()
            self._until_ns = time.monotonic_ns() + KEPT_FOR_NS
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._read(key)
        return known
