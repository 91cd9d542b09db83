"""Time by stack and reason, summed over requests; bounded, and what was added can be taken back.

Of too many stacks the small ones are made coarser: first what the frame that tells most had called is left out, then
all of it, so that only the reason stays. No time is lost by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from perfwatch.agent.correlator.places import Place, place_of
from perfwatch.agent.model import Bucket, Frame, Mechanism, StackTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_STACKS: Final = 256
_REASONS: Final = 32
"""More than there are: so much room is left for what has no frames."""
_Key: TypeAlias = tuple[tuple[Frame, ...], Bucket, bool, Mechanism | None]


class _Sum:
    """The time of one stack, and its place once it was asked for."""

    __slots__ = ("place", "spent_ns")

    def __init__(self, spent_ns: int = 0, place: Place | None = None) -> None:
        self.spent_ns = spent_ns
        self.place = place


class StackSums:
    """At most `MAX_STACKS` sums."""

    __slots__ = ("_sums",)

    def __init__(self, times: Iterable[StackTime] = ()) -> None:
        self._sums: dict[_Key, _Sum] = {}
        self.add(times)

    def add(self, times: Iterable[StackTime]) -> None:
        """Add times; costs about 3 us for each stack of 25 frames."""
        for one in times:
            self.book(one.frames, one.bucket, one.spent_ns, is_gc=one.is_gc, mechanism=one.mechanism)

    def __add__(self, other: StackSums) -> StackSums:
        """Return the sums of both, for reading: what only one of them has is shared with it."""
        both = StackSums()
        larger, smaller = sorted((self._sums, other._sums), key=len, reverse=True)
        both._sums = larger.copy()
        for key, one in smaller.items():
            known = larger.get(key)
            both._sums[key] = one if known is None else _Sum(known.spent_ns + one.spent_ns, known.place)
        if len(both._sums) > MAX_STACKS:
            both._sums = {key: _Sum(one.spent_ns, one.place) for key, one in both._sums.items()}
            both._make_room()
        return both

    def book(
        self,
        frames: tuple[Frame, ...],
        bucket: Bucket,
        spent_ns: int,
        *,
        is_gc: bool = False,
        mechanism: Mechanism | None = None,
    ) -> None:
        """Add one time."""
        key = (frames, bucket, is_gc, mechanism)
        known = self._sums.get(key)
        if known is None:
            if len(self._sums) >= MAX_STACKS:
                self._make_room()
            known = self._sums.setdefault(key, _Sum())
        known.spent_ns += spent_ns

    def remove(self, times: Iterable[StackTime]) -> None:
        """Take back times that were added, wherever they are by now."""
        for one in times:
            left = one.spent_ns
            for frames in (one.frames, _coarser(one.frames), ()):
                key = (frames, one.bucket, one.is_gc, one.mechanism)
                known = self._sums.get(key)
                if known is None or not left:
                    continue
                taken = min(known.spent_ns, left)
                known.spent_ns -= taken
                left -= taken
                if not known.spent_ns:
                    del self._sums[key]

    def times(self) -> tuple[StackTime, ...]:
        """Return all of it, the largest first."""
        return tuple(
            StackTime(frames, bucket, is_gc, one.spent_ns, mechanism)
            for (frames, bucket, is_gc, mechanism), one in self._ranked()
        )

    def places(self, is_meant: Callable[[Bucket, bool, Mechanism | None], bool]) -> Iterator[tuple[Place, int]]:
        """Yield the places of what was spent for some reasons, as far as the code is known."""
        for (frames, bucket, is_gc, mechanism), one in self._sums.items():
            if frames and is_meant(bucket, is_gc, mechanism):
                one.place = one.place or place_of(frames)
                if one.place is not None:
                    yield one.place, one.spent_ns

    def _ranked(self) -> list[tuple[_Key, _Sum]]:
        return sorted(self._sums.items(), key=lambda item: -item[1].spent_ns)

    def _make_room(self) -> None:
        """Make the smaller half coarser; where that leaves too many, the rest of it has no frames any more."""
        for is_last in (False, True):
            ranked = self._ranked()
            self._sums = dict(ranked[: MAX_STACKS // 2])
            for (frames, bucket, is_gc, mechanism), one in ranked[MAX_STACKS // 2 :]:
                key = (() if is_last else _coarser(frames, one.place), bucket, is_gc, mechanism)
                self._sums.setdefault(key, _Sum()).spent_ns += one.spent_ns
            if len(self._sums) <= MAX_STACKS - _REASONS:
                return


def _coarser(frames: tuple[Frame, ...], place: Place | None = None) -> tuple[Frame, ...]:
    """Leave out what the frame that tells most had called; all, where it had called nothing."""
    place = place or place_of(frames)
    at = 0 if place is None else frames.index(place.frame)
    return frames[at:] if at else ()
