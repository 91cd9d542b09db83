"""Which of a session's judged requests are meant: by endpoint, by id, by time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.report_cells import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    """Return the requests that are meant; PerfwatchError where there is none."""
    requests = latest(judged)
    found = [request for request in requests if _is_meant(request, selection)]
    if selection.endpoint is not None:
        found = _of_endpoint(found, selection.endpoint.lower())
    if not found:
        raise PerfwatchError(*_none_of(requests, selection))
    return found


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


def _none_of(judged: Sequence[Request], selection: Selection) -> tuple[str, str]:
    """Say that no request is meant, and which ones there would be."""
    if not judged:
        return "no request was judged: there is nothing to make a tree of", "record longer, or lower --slow-ms"
    if selection.request is not None:
        return f"no judged request has the id {selection.request}", "`perfwatch report` lists the ids of the slowest"
    names = Counter(" ".join(request.endpoint) for request in judged)
    known = ", ".join(clean(name) for name, _ in names.most_common(_NAMED))
    return "no judged request is of that endpoint and time", f"the session's are of: {known}"
