"""Which of a session's judged requests are meant: by endpoint, by id, by time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model import Request

_NAMED: Final = 6


class Selection(msgspec.Struct, frozen=True):
    """What narrows the judged requests of a session down; None where it does not."""

    endpoint: str | None = None
    """Method and route, or a part of them."""
    request: int | None = None
    """Id."""
    from_ns: int | None = None
    to_ns: int | None = None
    """Monotonic; a request counts that was under way between the two, in part or in whole."""


def latest(judged: Iterable[Request]) -> list[Request]:
    """Return each request once: of several with one id, the last."""
    return list({request.record.id: request for request in judged}.values())


def chosen(judged: Iterable[Request], selection: Selection) -> list[Request]:
    """Return the judged requests that are meant; PerfwatchError where there is none."""
    return list(picked(latest(judged), selection, "judged request"))


def picked(requests: Iterable[Request], selection: Selection, kind: str = "request") -> Iterator[Request]:
    """Yield those that are meant of requests that are told once each; PerfwatchError at the end where there was none.

    Those of an endpoint are kept in memory until the end: which one is meant shows only then.
    """
    names: Counter[str] = Counter()
    meant: Iterator[Request] = (request for request in _counted(requests, names) if _is_meant(request, selection))
    if selection.endpoint is not None:
        meant = iter(_of_endpoint(list(meant), selection.endpoint.lower()))
    is_none = True
    for request in meant:
        is_none = False
        yield request
    if is_none:
        raise PerfwatchError(*_none_of(names, selection, kind))


def _counted(requests: Iterable[Request], names: Counter[str]) -> Iterator[Request]:
    for request in requests:
        names[" ".join(request.endpoint)] += 1
        yield request


def _is_meant(request: Request, selection: Selection) -> bool:
    record = request.record
    if selection.request is not None and record.id != selection.request:
        return False
    began_ns = record.ended_ns - request.ledger.total_ns
    is_before = selection.from_ns is not None and record.ended_ns < selection.from_ns
    is_after = selection.to_ns is not None and began_ns > selection.to_ns
    return not is_before and not is_after


def _of_endpoint(requests: Sequence[Request], wanted: str) -> list[Request]:
    """Return those of the endpoint with this very name, else those whose endpoint's name contains it."""
    named = [(" ".join(request.endpoint).lower(), request) for request in requests]
    return [request for name, request in named if name == wanted] or [
        request for name, request in named if wanted in name
    ]


def _none_of(names: Counter[str], selection: Selection, kind: str) -> tuple[str, str]:
    """Say that no request is meant, and of which endpoints there would be some."""
    if not names:
        return f"there is no {kind}", "record longer, or lower --slow-ms"
    if selection.request is not None:
        return f"no {kind} has the id {selection.request}", "`perfwatch report` lists the ids of the slowest"
    known = ", ".join(clean(name) for name, _ in names.most_common(_NAMED))
    return f"no {kind} is of that endpoint and time", f"the session's are of: {known}"
