"""Columns of integers, made small: what they have in common taken away, and their bytes laid out by place.

A column is `[form, ...]`: `c`: one value, for all; `v`: values; `d`: a first value, then what each has more than the
one before; `r`: what each has more than the same row of an earlier column. Values are `[least, width, bytes]`: each
less the least, as unsigned integers of 1, 2, 4 or 8 bytes, low bytes first: the lowest byte of all of them, then the
next of all, and so on. Bytes of one place resemble each other: that is what compresses.
"""

from __future__ import annotations

import sys
from array import array
from itertools import accumulate
from operator import add, sub
from typing import TYPE_CHECKING, Final, TypeAlias

from perfwatch.agent.session.stored import Damaged

if TYPE_CHECKING:
    from collections.abc import Sequence

Packed: TypeAlias = list[object]
FORMS: Final = frozenset("cvdr")
_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_LEAST: Final = -(1 << 63)
_MOST: Final = (1 << 64) - 1
"""What msgpack can say."""
_MARGIN: Final = 4
"""A difference has to make the range so many times smaller to be worth it."""


def pack(values: Sequence[int], earlier: Sequence[Sequence[int]] = ()) -> Packed | None:
    """Return a column of two values or more; None where nothing is gained. `earlier`: columns of the same rows."""
    if values.count(values[0]) == len(values):
        return ["c", values[0]]
    best: Packed = ["v", None]
    span, kept = _span(values), values
    steps = list(map(sub, values[1:], values))
    if (narrower := _span(steps)) * _MARGIN < span:
        best, span, kept = ["d", values[0]], narrower, steps
    for place, column in enumerate(earlier):
        more = list(map(sub, values, column))
        if (narrower := _span(more)) * _MARGIN < span:
            best, span, kept = ["r", place], narrower, more
    planes = _planes(kept, span)
    return None if planes is None else [*best, planes]


def unpack(packed: Sequence[object], count: int, earlier: Sequence[Sequence[int]] = ()) -> list[int]:
    """Inverse of `pack`; Damaged unless it gives `count` values. IndexError, TypeError, ValueError for what is none."""
    match packed:
        case ["c", int(value)] if _LEAST <= value <= _MOST:
            return [value] * count
        case ["v", None, planes]:
            values = _values(planes, count)
        case ["d", int(first), planes]:
            values = list(accumulate(_values(planes, count - 1), initial=first))
        case ["r", int(place), planes]:
            values = list(map(add, _values(planes, count), earlier[place]))
        case _:
            raise Damaged
    if values and not (min(values) >= _LEAST and max(values) <= _MOST):
        raise Damaged
    return values


def _planes(values: Sequence[int], span: int) -> Packed | None:
    least = min(values)
    width = next((width for width in _CODES if span < 1 << 8 * width), None)
    if width is None:
        return None
    data = _swapped(array(_CODES[width], [value - least for value in values] if least else values)).tobytes()
    return [least, width, b"".join(data[place::width] for place in range(width))]


def _values(planes: object, count: int) -> list[int]:
    match planes:
        case [int(least), int(width), bytes(data)] if width in _CODES and len(data) == width * count:
            pass
        case _:
            raise Damaged
    laid = bytearray(len(data))
    for place in range(width):
        laid[place::width] = data[place * count : (place + 1) * count]
    values = _swapped(array(_CODES[width], bytes(laid)))
    return [value + least for value in values] if least else list(values)


def _swapped(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _span(values: Sequence[int]) -> int:
    return max(values) - min(values)
