"""The little language of the filter: which requests and endpoints are listed; pure.

Terms stand side by side, and all of them must hold. A word is looked for in method, path, cause and status, whatever
its case; in quotes it may hold spaces and colons. `cause:lock,disk`, `endpoint:/order`, `method:get`, `status:5xx`,
`is:slow` look at one thing, of which any may hold; `took>200ms` compares. `!` before a term turns it round.

An endpoint is looked at as a whole: `took` is its p95, and it has no status.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from perfwatch.agent.model import MECHANISMS, PRINCIPLE_OF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Endpoint, OpenRequest, Request, Verdict

TERMS: Final = (
    ("order", "a word of method, path, cause or status, whatever its case; in quotes it may hold spaces and colons"),
    ("cause:lock", "the mechanism or the principle of its verdict begins so; `cause:lock,disk` either"),
    ("endpoint:/order", "its route or path holds this"),
    ("method:get", "its method begins so"),
    ("status:5xx", "its status, `x` for any digit; `status>=400` compares; `status:none` without an answer"),
    ("is:slow", "it was slow; `is:failed` it failed"),
    ("took>200ms", "it took longer; also `>=`, `<`, `<=`, in `us`, `ms`, `s` or `m`; of an endpoint its p95"),
    ("!order", "all but those; before any term"),
)
"""Examples, and what they let through; for the reference."""
EXAMPLES: Final = "text  cause:lock  endpoint:/order  status:5xx  is:slow  took>200ms  !inverse"
_TERM: Final = re.compile(r'(!*)("[^"]*"?|[^\s"!][^\s"]*(?:"[^"]*"?)?)')
_COMPARED: Final = re.compile(r"(took|status)(>=|<=|>|<|=)(.*)", re.IGNORECASE)
_NAMED: Final = re.compile(r"([a-z]+):(.*)", re.IGNORECASE)
_TOOK: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(us|µs|ms|s|m|)", re.IGNORECASE)
_STATUS: Final = re.compile(r"[1-5x][0-9x]{0,2}|none")
_MS: Final = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "": 1.0, "s": 1e3, "m": 60e3}
_CAUSES: Final = frozenset((*MECHANISMS, *PRINCIPLE_OF.values(), "healthy", "unknown"))
_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    "=": lambda one, other: one == other,
}


class Unreadable(Exception):
    """The filter cannot be read; the text is one line that says how it could."""


class Subject(msgspec.Struct, frozen=True, gc=False):
    """What is known of something that may be listed."""

    method: str
    endpoint: str
    """The route; of something that has one, its path too."""
    causes: tuple[str, ...]
    """Mechanism and principle."""
    took_ms: float
    status: str | None
    """`200`; `none` without an answer; None where it has no status of its own: such a term passes it."""
    slow: bool
    failed: bool

    @property
    def text(self) -> str:
        """What words are looked for in."""
        return f"{self.method} {self.endpoint} {' '.join(self.causes)} {self.status or ''}".lower()


Filter: TypeAlias = Callable[[Subject], bool]


@lru_cache(16)
def parse(text: str) -> Filter:
    """Return what tells whether something is to be listed; raises Unreadable."""
    terms = [_term(found[1].strip(), is_turned=len(found[0]) % 2 == 1) for found in _TERM.findall(text)]
    return lambda subject: all(term(subject) for term in terms)


def of_request(request: Request) -> Subject:
    """Return what a filter looks at of a finished request."""
    record = request.record
    return Subject(
        record.method or "?",
        f"{request.endpoint[1]} {record.target or ''}",
        _causes(request.verdict),
        request.ledger.total_ns / 1e6,
        "none" if record.status is None else str(record.status),
        request.slow,
        request.failed,
    )


def of_endpoint(endpoint: Endpoint) -> Subject:
    """Return what a filter looks at of an endpoint."""
    return Subject(
        endpoint.method,
        endpoint.place,
        _causes(endpoint.verdict),
        endpoint.latency_ms.p95,
        None,
        endpoint.slow_count > 0,
        endpoint.errors > 0,
    )


def of_open(request: OpenRequest, age_ns: int) -> Subject:
    """Return what a filter looks at of a request that has not ended: its state is what it may wait for."""
    state = "cpu" if request.state == "on_cpu" else request.state.replace("_", "-")
    return Subject(
        request.method or "?", request.target or "", (state,), age_ns / 1e6, "none", slow=False, failed=False
    )


class Sieve:
    """Lets through what a filter wants; most requests are the same from frame to frame, and are looked at once."""

    def __init__(self) -> None:
        self._text = ""
        self._known: dict[int, tuple[Request, bool]] = {}

    def kept(self, requests: Sequence[Request], text: str) -> Sequence[Request]:
        """Return those that the filter wants, in their order."""
        if not text.strip():
            return requests
        known = self._known if text == self._text else {}
        wanted, self._text = parse(text), text
        self._known = {request.record.id: _looked_at(request, known, wanted) for request in requests}
        return [request for request, is_wanted in self._known.values() if is_wanted]


def _looked_at(request: Request, known: dict[int, tuple[Request, bool]], wanted: Filter) -> tuple[Request, bool]:
    before = known.get(request.record.id)
    return before if before is not None and before[0] is request else (request, wanted(of_request(request)))


def _causes(verdict: Verdict | None) -> tuple[str, ...]:
    if verdict is None:
        return ()
    return (verdict.principle,) if verdict.mechanism is None else (verdict.mechanism, verdict.principle)


def _term(text: str, *, is_turned: bool) -> Filter:
    holds, asks_status = _holds(text), text.lower().startswith("status")
    return lambda subject: (asks_status and subject.status is None) or holds(subject) != is_turned


def _holds(text: str) -> Filter:
    if text.startswith('"'):
        return _word(text.strip('"'))
    if compared := _COMPARED.fullmatch(text):
        return _comparison(*compared.groups())
    if named := _NAMED.fullmatch(text):
        return _field(named[1].lower(), named[2].strip('"').lower())
    return _word(text)


def _word(text: str) -> Filter:
    needle = text.lower()
    return lambda subject: needle in subject.text


def _comparison(name: str, sign: str, value: str) -> Filter:
    compare = _COMPARISONS[sign]
    if name.lower() == "status":
        if not value.isdecimal():
            raise Unreadable(f"status{sign}{value}: not a number; try status{sign}500")
        status = int(value)
        return lambda subject: (subject.status or "none") != "none" and compare(int(subject.status or 0), status)
    if (length := _TOOK.fullmatch(value)) is None:
        raise Unreadable(f"took{sign}{value}: not a length of time; try took{sign}200ms or took{sign}1.5s")
    limit_ms = float(length[1]) * _MS[length[2].lower()]
    return lambda subject: compare(subject.took_ms, limit_ms)


def _field(name: str, values: str) -> Filter:
    if name not in _FIELDS:
        raise Unreadable(
            f'{name}: is nothing to filter by; there are {", ".join(_FIELDS)}, took>; or quote it: "{name}:"'
        )
    filters = [_FIELDS[name](value) for value in values.split(",") if value]
    return lambda subject: not filters or any(one(subject) for one in filters)


def _cause(value: str) -> Filter:
    """Look for a mechanism or a principle by how it begins: what is half typed finds something already."""
    if not any(name.startswith(value) for name in _CAUSES):
        raise Unreadable(f"cause:{value}: no such cause; there are {', '.join(MECHANISMS)}, and the principles")
    return lambda subject: any(cause.startswith(value) for cause in subject.causes)


def _endpoint(value: str) -> Filter:
    return lambda subject: value in subject.endpoint.lower()


def _method(value: str) -> Filter:
    return lambda subject: subject.method.lower().startswith(value)


def _status(value: str) -> Filter:
    """Look for a status by its digits, `x` for any: `404`, `5xx`; `none` without an answer."""
    if not _STATUS.fullmatch(value) and not "none".startswith(value):
        raise Unreadable(f"status:{value}: not a status; try status:404, status:5xx or status:none")
    wanted = re.compile(value.replace("x", "."))
    return lambda subject: wanted.match(subject.status or "") is not None


def _is(value: str) -> Filter:
    if "slow".startswith(value):
        return lambda subject: subject.slow
    if "failed".startswith(value):
        return lambda subject: subject.failed
    raise Unreadable(f"is:{value}: there are is:slow and is:failed")


_FIELDS: Final[dict[str, Callable[[str], Filter]]] = {
    "cause": _cause,
    "endpoint": _endpoint,
    "method": _method,
    "status": _status,
    "is": _is,
}
