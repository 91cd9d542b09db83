"""Who kept the event loop while a request could have run, and what they did meanwhile, as far as that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from perfwatch.agent.correlator.places import place_of
from perfwatch.agent.correlator.routes import asked_for
from perfwatch.agent.correlator.wording import at, duration
from perfwatch.agent.model import FrameShare

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfwatch.agent.model import Culprit, Request, ServedRequest


class Keeper(NamedTuple):
    """One of them, and where in its code it was."""

    culprit: Culprit
    place: FrameShare | None


def keepers(record: ServedRequest, find: Callable[[int], Request | None]) -> tuple[Keeper, ...]:
    """Return who kept the loop of a request, the longest first; `find` gives a judged request by its id.

    The place is where the culprit's own verdict says that its time went; without one, where it was when it let go.
    """
    return tuple(Keeper(culprit, _place(culprit, record, find)) for culprit in record.culprits)


def name(method: str | None, target: str | None, request: int | None) -> str:
    """Say who it was: `GET /block`, `the loop itself`; untrusted."""
    if request is None and method is None and target is None:
        return "the loop itself"
    return asked_for(method, target)


def doing(function: str, file: str, line: int, called: str | None) -> str:
    """Say what somebody did: `time.sleep in slow() at app.py:12`."""
    place = at(function, file, line)
    return f"{called} in {place}" if called else place


def told(keeper: Keeper) -> str:
    """Say who kept the loop, and for how long: `GET /block 58 ms (time.sleep in slow() at app.py:12)`."""
    one, place = keeper
    who = f"{name(one.method, one.target, one.request)} {duration(max(one.held_ns, 0))}"
    return who if place is None else f"{who} ({doing(place.function, place.file, place.line, place.called)})"


def _place(culprit: Culprit, record: ServedRequest, find: Callable[[int], Request | None]) -> FrameShare | None:
    if culprit.request is None:
        return None
    judged = find(culprit.request)
    if judged is not None and judged.frames:
        return judged.frames[0]
    for wait in record.waits:
        if wait.bucket == "loop" and wait.waker is not None and wait.waker.request == culprit.request:
            found = place_of(record.code.stack(wait.waker_stack))
            if found is not None:
                frame = found.frame
                return FrameShare(frame.function, frame.file, frame.line, 0.0, found.called)
    return None
