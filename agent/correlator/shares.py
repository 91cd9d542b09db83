"""Where in the code a mechanism spent its time: places and their shares of a latency.

Work is told by function, with the line that took most of it; waits are told line by line, because each is one place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from perfwatch.agent.correlator.places import place_of
from perfwatch.agent.correlator.wording import at, cut
from perfwatch.agent.model import Bucket, Evidence, FrameShare, Mechanism

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.places import Place
    from perfwatch.agent.model import StackTime

T = TypeVar("T")
_MOST: Final = 8
_MOSTLY: Final = 0.5
_NOTABLE: Final = 0.05
_TOLD: Final = 3
_MAX_CALL: Final = 64
_MAX_ADVICE: Final = 3
_WORK: Final[frozenset[Mechanism]] = frozenset({"cpu", "gc"})
BUCKETS_OF: Final[dict[Mechanism, tuple[Bucket, ...]]] = {
    "cpu": ("on_cpu",),
    "gc": ("on_cpu",),
    "sleep": ("sleep",),
    "chatty": ("calls",),
    "connect": ("calls",),
    "tls": ("calls",),
    "transfer": ("calls",),
    "gil": ("gil",),
    "lock": ("lock",),
    "event-loop": (),
    "pool": ("lock",),
    "queue": (),
    "run-queue": (),
    "throttle": (),
    "disk": ("disk",),
    "memory": ("fault",),
    "network": ("receive", "send"),
    "dependency": ("calls", "child", "other"),
}
"""What a mechanism's time is booked to; of `on_cpu` the collector's part is `gc`, the rest `cpu`. Nothing where the
place says nothing of the cause: what the request was about to compute when it had no CPU."""
_PARTS: Final[frozenset[Mechanism]] = frozenset({"chatty", "connect", "tls", "transfer", "pool"})
"""Those that share a bucket, and whose part of it is told as such."""
_ADVICE: Final[dict[Mechanism, tuple[int, str]]] = {
    "cpu": (0, "Make {} cheaper, or cache what it makes."),
    "sleep": (0, "Remove the sleep in {}, or wait for the event itself (a condition, a queue, a future)."),
    "chatty": (1, "Look at the loop in {}: what it asks for one by one can be asked for at once."),
    "connect": (1, "Look at {}: it opens the connections."),
    "tls": (1, "Look at {}: it opens the connections that need a handshake."),
    "disk": (1, "Take the input and output in {} out of the request: batch it, or leave it to a background thread."),
    "dependency": (1, "Look at the calls in {}: can answers be kept, or asked for at the same time?"),
}
"""Advice that names a place, and where it belongs: the first takes the place of the general one."""


def is_of(mechanism: Mechanism, bucket: Bucket, is_gc: bool, part: Mechanism | None) -> bool:  # noqa: FBT001
    """Whether time that was spent for this reason is a mechanism's; `part` is told where a bucket has several."""
    if bucket not in BUCKETS_OF[mechanism] or is_gc != (mechanism == "gc"):
        return False
    return mechanism not in _PARTS if part is None else part == mechanism


def places_in(times: Iterable[StackTime], mechanism: Mechanism) -> list[tuple[Place, int]]:
    """Return the places of a mechanism's time, as far as the code is known."""
    found = []
    for one in times:
        if is_of(mechanism, one.bucket, one.is_gc, one.mechanism):
            place = place_of(one.frames)
            if place is not None:
                found.append((place, one.spent_ns))
    return found


def frame_shares(places: Iterable[tuple[Place, int]], mechanism: Mechanism, total_ns: int) -> tuple[FrameShare, ...]:
    """Return the places with the most time, at most 8; shares are of `total_ns`."""
    spent: dict[tuple[str, str, int], dict[tuple[int, str | None], int]] = {}
    for (frame, called), spent_ns in places:
        key = (frame.function, frame.file, 0 if mechanism in _WORK else frame.line)
        lines = spent.setdefault(key, {})
        lines[frame.line, called] = lines.get((frame.line, called), 0) + spent_ns
    ranked = sorted(((sum(lines.values()), key) for key, lines in spent.items()), key=lambda one: -one[0])
    return tuple(
        FrameShare(
            function=function,
            file=file,
            line=_most((line, ns) for (line, _), ns in spent[function, file, at_line].items()),
            share=round(min(spent_ns / total_ns, 1.0), 4),
            called=_most((called, ns) for (_, called), ns in spent[function, file, at_line].items()),
        )
        for spent_ns, (function, file, at_line) in ranked[:_MOST]
        if spent_ns > 0 and total_ns > 0
    )


def _most(spent: Iterable[tuple[T, int]]) -> T:
    """Return what most was spent on, of equals the first."""
    sums: dict[T, int] = {}
    for what, spent_ns in spent:
        sums[what] = sums.get(what, 0) + spent_ns
    return max(sums, key=lambda what: sums[what])


def places_told(frames: Sequence[FrameShare], mechanism: Mechanism, spent_ns: int, total_ns: int) -> Iterator[Evidence]:
    """Say where a mechanism spent its time: `place` where most of it was spent, else `one_place`; and two others.

    What was called belongs to the place of work; of a wait it says no more than what it waited for.
    """
    for number, one in enumerate(frames[:_TOLD]):
        place, called = at(one.function, one.file, one.line), f" › {cut(one.called, _MAX_CALL)}" if one.called else ""
        is_most = one.share * total_ns >= _MOSTLY * spent_ns
        if number and one.share * total_ns < _NOTABLE * spent_ns:
            return
        name = ("place" if is_most else "one_place") if number == 0 else "other_place"
        value = f"{place}{called}" if mechanism == "cpu" else place
        yield Evidence(name, value, f"{one.share * total_ns / 1e6:.1f} ms of it in {place}{called}")


def placed(
    mechanism: Mechanism, advice: tuple[str, ...], frames: Sequence[FrameShare], told: Sequence[Evidence]
) -> tuple[str, ...]:
    """Return the advice with the place in it where most of the time was spent."""
    known = _ADVICE.get(mechanism)
    if known is None or not any(one.name == "place" for one in told):
        return advice
    number, text = known
    # Without a line: requests that differ in it are one in what is to be done.
    named = text.format(at(frames[0].function, frames[0].file, 0))
    return (*advice[:number], named, *advice[number + (number == 0) :])[:_MAX_ADVICE]
