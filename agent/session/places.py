"""Which seconds a session has, and when they were, as their rows say: what one needs to find one's way at once."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfwatch.agent.session.fetch import Place

_NEVER: Final = -(1 << 63)


class Places:
    """The rows of `seconds`, unchecked, in order of their numbers; 32 bytes each."""

    def __init__(self, rows: Iterable[Place]) -> None:
        self.numbers = array("q")
        self._first_ns = array("q")
        self._until_ns = array("q")
        """The latest time of this second or one before it: a row that is out of order leaves nothing out."""
        self._records = array("q")
        self.extend(rows)

    def extend(self, rows: Iterable[Place]) -> None:
        """Take in further rows."""
        until_ns = self._until_ns[-1] if self._until_ns else _NEVER
        for number, first_ns, last_ns, records in rows:
            until_ns = max(until_ns, last_ns if isinstance(last_ns, int) else _NEVER)
            self.numbers.append(number)
            self._first_ns.append(first_ns if isinstance(first_ns, int) else _NEVER)
            self._until_ns.append(until_ns)
            self._records.append(records if isinstance(records, int) and isinstance(first_ns, int) else 0)

    @property
    def last_number(self) -> int:
        """Number of the last second; 0 where there is none."""
        return self.numbers[-1] if self.numbers else 0

    def after(self, number: int) -> array[int]:
        """Return the numbers after one."""
        return self.numbers[bisect_right(self.numbers, number) :]

    def since(self, at_ns: int) -> array[int]:
        """Return the numbers to read from a moment on: one earlier than it seems, as its row may be damaged."""
        return self.numbers[max(0, bisect_left(self._until_ns, at_ns) - 1) :]

    def spans_until(self, at_ns: int) -> Iterator[tuple[int, int]]:
        """Yield when the seconds with records until a moment began, and how many these are; the newest first."""
        for place in range(min(bisect_left(self._until_ns, at_ns), len(self.numbers) - 1), -1, -1):
            if self._records[place] > 0:
                yield self._first_ns[place], self._records[place]
