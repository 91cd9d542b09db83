"""What a request's screen says of it: its title, its stacks, who kept its loop, what would be gained; and finds it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text

from perfwatch.agent.correlator.keepers import keepers, told
from perfwatch.agent.model import OpenRequest, Request, StackTime
from perfwatch.agent.report_gains import gain_of
from perfwatch.agent.report_sentences import counted
from perfwatch.agent.trees.absence import is_code_known, why_no_stacks
from perfwatch.tui import palette
from perfwatch.tui.format import clean, clock, duration_ns, size
from perfwatch.tui.screens.culprit import judged
from perfwatch.tui.widgets.inflight import Hanging

if TYPE_CHECKING:
    from perfwatch.agent.model import SessionInfo, View
    from perfwatch.tui.messages import Frame

_KEEPERS: Final = 2
_SPOKEN: Final = {"http/2": "HTTP/2 ", "grpc": "gRPC "}


def title_of(request: Request, info: SessionInfo, width: int) -> Text:
    """Say which finished request it is, and how it went; of what else there is, as much as has room."""
    record = request.record
    line = _line(record.method, record.target, duration_ns(request.ledger.total_ns))
    line.append("   sampled" if record.fidelity == "sampled" else "", palette.WARN)
    status = str(record.status) if record.status is not None else record.outcome
    bad = palette.ALARM if request.failed else palette.QUIET
    status = f"{status}, gRPC status {record.grpc_status}" if record.grpc_status else status
    line.append(f"   {clean(status)}", bad)
    further = (
        f"   {_thread(record.pid, record.tid)}   {clock(info.unix_s(record.ended_ns), ms=True)}",
        f"   {size(record.received_bytes)} in, {size(record.sent_bytes)} out",
        f"   {_SPOKEN.get(record.protocol, '')}from {clean(record.remote)}",
    )
    for fact in further:
        if line.cell_len + cell_len(fact) <= width:
            line.append(fact, palette.QUIET)
    return line


def title_of_open(request: OpenRequest, age_ns: int) -> Text:
    """Say which request it is that has not ended."""
    line = _line(request.method, request.target, duration_ns(age_ns))
    line.append("   in flight", f"bold {palette.ALARM}")
    return line.append(f"   {_thread(request.pid, request.tid)}", palette.QUIET)


def gain(request: Request, view: View) -> str | None:
    """Say what its endpoint would take without what this request was slow for."""
    own = next((one for one in view.endpoints if (one.method, one.place) == request.endpoint), None)
    if own is None or request.verdict is None:
        return None
    told = gain_of(request.verdict.mechanism, own.what_if, own.latency_ms)
    return None if told is None else f"of its endpoint, {told}"


def kept_by(request: Request, view: View) -> tuple[str, ...]:
    """Say who kept its loop: the first two, and how many more."""
    record = request.record
    found = keepers(record, partial(judged, view))
    lines = [f"kept by {told(keeper)}" for keeper in found[:_KEEPERS]]
    if left := record.culprits[_KEEPERS:]:
        lines[-1] += f", and {counted(len(left), 'other')} {duration_ns(sum(one.held_ns for one in left))}"
    return tuple(lines)


def stacks_of(request: Request | OpenRequest, frame: Frame) -> tuple[tuple[StackTime, ...], str]:
    """Return the stacks of a request, and why there are none where there are none."""
    if isinstance(request, Request) and is_code_known(request.stacks):
        return request.stacks, ""
    if isinstance(request, OpenRequest):
        state_ns = Hanging.of(request, frame.view).state_ns
        stood = (StackTime(request.stack, request.state, is_gc=False, spent_ns=state_ns),) if request.stack else ()
        return stood, "what its thread executes is not known"
    if request.verdict is None:
        return (), "it was not judged: its stacks were not kept"
    if request.record.threads == "followed":
        return (), "it went from thread to thread, or through an event loop: no stack of its own was seen"
    if request.record.threads != "one":
        return (), "its thread served other requests meanwhile: no stack is its alone"
    return (), "; ".join(why_no_stacks(frame.info))


def caller_of(view: View, request_id: int) -> int | None:
    """Return which of the requests in a view made this one, the latest that says so."""
    made = (one.record.id for one in reversed(view.requests) for each in one.callees if each.request == request_id)
    return next(made, None)


def find(view: View, request_id: int) -> Request | OpenRequest | None:
    """Return a request by its id, as far as it is kept, or open."""
    found = judged(view, request_id)
    return found or next((request for request in view.in_flight if request.id == request_id), None)


def _line(method: str | None, target: str | None, took: str) -> Text:
    name = f"{clean(method or '?')} {clean(target or '(path not seen)')}"
    return Text.assemble((name, palette.STRONG), (f"   {took}", f"bold {palette.ACCENT}"), no_wrap=True)


def _thread(pid: int, tid: int) -> str:
    return f"pid {pid}" if pid == tid else f"pid {pid} thread {tid}"


def unjudged(threads: str) -> str:
    """Say why there is no verdict."""
    if threads in {"one", "followed"}:
        return "it was not slow: not judged"
    return "its thread served other requests meanwhile: only the queue is booked"
