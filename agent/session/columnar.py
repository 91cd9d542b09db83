"""Lists of alike values as columns: what is much alike compresses to a third of what rows would.

What is packed is what msgspec makes of structs: None, yes and no, numbers, text, bytes, and lists of these. A column is
a list that begins with its form:

- `p`: the values as they are
- `c`, `v`, `d`, `r`: integers (see `integers`); `r` counts the integer columns of its rows, the first is 0
- `u`: a column of different values, their number, and for each row which it is, as a column
- `o`: for each row 0 or 1, as a column, and a column of those that are not None
- `t`: lists of one length: a column for each place
- `l`: lists of any length: their lengths, as a column, and a column of all they hold

A form says nothing of the type that it is for, and packing loses nothing: -0.0, 1, 1.0 and yes stay what they are.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from perfwatch.agent.session import integers
from perfwatch.agent.session.stored import Damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

Column: TypeAlias = list[object]
_FEW: Final = 4
_NEAR: Final = 4
"""With so many integer columns right before it, a column is compared, and with the first."""
_WIDEST: Final = 256
"""Lists longer than this are not taken apart by place."""


class Packing:
    """Makes columns, and counts what it takes to build them again."""

    def __init__(self) -> None:
        self.values = 0
        """Rows of all columns."""

    def column(self, values: Sequence[object], earlier: Sequence[Sequence[int]] = ()) -> Column:
        """Return a column of values."""
        self.values += len(values)
        if len(values) < _FEW:
            return ["p", values]
        kinds = set(map(type, values))
        if len(kinds) > 1:
            return self._optional(values) if type(None) in kinds else ["p", values]
        if kinds == {int}:
            return integers.pack(values, earlier) or ["p", values]  # type: ignore[arg-type]
        if kinds <= {list, tuple}:
            return self._repeated(values) or self._lists(values)  # type: ignore[arg-type]
        return self._repeated(values) or ["p", values]

    def rows(self, values: Sequence[Sequence[object]]) -> Column:
        """Return a column of lists that are not expected to be the same."""
        self.values += len(values)
        return self._lists(values) if len(values) >= _FEW else ["p", values]

    def _lists(self, values: Sequence[Sequence[object]]) -> Column:
        widths = list(map(len, values))
        if 0 < widths[0] <= _WIDEST and widths.count(widths[0]) == len(widths):
            return ["t", self._places(values)]
        return ["l", self.column(widths), self.column(list(chain.from_iterable(values)))]

    def _places(self, values: Sequence[Sequence[object]]) -> list[Column]:
        columns: list[Column] = []
        numbers: list[Sequence[int]] = []
        for column in zip(*values, strict=True):
            columns.append(self.column(column, _candidates(numbers)))
            if set(map(type, column)) == {int}:
                numbers.append(column)
        return columns

    def _repeated(self, values: Sequence[object]) -> Column | None:
        """Return a column of different values, if at most half of them are; what is written alike is alike."""
        keys = list(map(_encoder.encode, values))
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        if 2 * len(places) > len(values):
            return None
        first = dict(zip(reversed(keys), reversed(values), strict=True))
        different = [first[key] for key in places]
        is_lists = type(values[0]) in {list, tuple}
        told = self.rows(different) if is_lists else self._plain(different)  # type: ignore[arg-type]
        return ["u", told, len(different), self.column([places[key] for key in keys])]

    def _plain(self, values: Sequence[object]) -> Column:
        self.values += len(values)
        return ["p", values]

    def _optional(self, values: Sequence[object]) -> Column:
        known = [value for value in values if value is not None]
        return ["o", self.column([int(value is not None) for value in values]), self.column(known)]


class Unpacking:
    """Turns columns back, and never into more values than `most` in all."""

    def __init__(self, most: int) -> None:
        self._left = most

    def column(self, packed: Sequence[object], count: int, earlier: Sequence[Sequence[int]] = ()) -> list[object]:
        """Inverse of `pack`; Damaged unless it gives `count` values."""
        self._left -= count
        if self._left < 0 or count < 0:
            raise Damaged
        values = self._values(packed, count, earlier)
        if len(values) != count:
            raise Damaged
        return values

    def _values(self, packed: Sequence[object], count: int, earlier: Sequence[Sequence[int]]) -> list[object]:
        match packed:
            case ["p", list(values)]:
                return values
            case ["u", list(different), int(number), list(which)]:
                known = self.column(different, number)
                return [known[place] for place in self.numbers(which, count)]
            case ["o", list(there), list(known)]:
                answers = self.numbers(there, count)
                if not set(answers) <= {0, 1}:
                    raise Damaged
                told = iter(self.column(known, sum(answers)))
                return [next(told) if answer else None for answer in answers]
            case ["t", list(columns)]:
                return self._rows(columns, count)
            case ["l", list(lengths), list(held)]:
                return self._lists(self.numbers(lengths, count), held)
        return integers.unpack(packed, count, earlier)  # type: ignore[return-value]

    def _rows(self, packed: Sequence[Sequence[object]], count: int) -> list[object]:
        columns: list[list[object]] = []
        numbers: list[Sequence[int]] = []
        for column in packed:
            columns.append(self.column(column, count, _candidates(numbers)))
            if set(map(type, columns[-1])) == {int}:
                numbers.append(columns[-1])  # type: ignore[arg-type]
        return list(zip(*columns, strict=True))

    def _lists(self, lengths: Sequence[int], held: Sequence[object]) -> list[object]:
        if min(lengths, default=0) < 0:
            raise Damaged
        values, end = self.column(held, sum(lengths)), 0
        return [values[end : (end := end + length)] for length in lengths]

    def numbers(self, packed: Sequence[object], count: int) -> list[int]:
        """Return a column of integers; Damaged if they are not."""
        numbers = self.column(packed, count)
        if not set(map(type, numbers)) <= {int}:
            raise Damaged
        return numbers  # type: ignore[return-value]


def _candidates(numbers: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    """Return the columns that one is compared with: the first, and those right before it."""
    return numbers if len(numbers) <= _NEAR else (numbers[0], *numbers[-_NEAR:])


_encoder: Final = msgspec.msgpack.Encoder()
