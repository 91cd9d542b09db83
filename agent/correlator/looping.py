"""Why a request waited for its event loop: which others kept it, for how long, what they did, and what to do about it.

And the other way round: that a request kept the loop from others, as soon as one of those, or its own stacks, tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.findings import DOING, Explanation, amount, counted, milliseconds, waits_in
from perfwatch.agent.correlator.loops import Deed, Endpoint, Held, is_blocking, stretches
from perfwatch.agent.correlator.places import module_of
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.correlator.shares import BUCKETS_OF
from perfwatch.agent.correlator.wording import percent
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.loops import Loops
    from perfwatch.agent.model import Bucket, Frame, Mechanism, Request
    from perfwatch.probes.records import Culprit

NOBODY: Final = "work that serves no request"
KEEPER: Final = "keeper"
_MOSTLY: Final = 0.5
_NOTABLE: Final = 0.05
_OTHERS: Final = 2
_LONG_NS: Final = 20_000_000
"""Who keeps a loop for less at a stretch, beside what takes its own time, holds up nobody worth a word."""
_MAX_ADVICE: Final = 3
_DID: Final[dict[Bucket, str]] = DOING | {"sleep": "sleeping (time.sleep)", "calls": "waiting for another service"}
_ASYNC_CLIENT: Final = (
    "Use an asynchronous client{} (httpx.AsyncClient, asyncpg, psycopg's AsyncConnection, redis.asyncio), or hand the "
    "call to a thread (asyncio.to_thread, run_in_threadpool)."
)
_TO_THREAD: Final = "Hand the file's input and output{} to a thread (asyncio.to_thread, anyio.open_file, aiofiles)."
_REMEDIES: Final[dict[Bucket, str]] = {
    "sleep": "Replace time.sleep(){} by `await asyncio.sleep()`: it stops the whole loop.",
    "on_cpu": "Take the computing{} off the loop: to a pool of processes (loop.run_in_executor), or to a thread where "
    "it lets the GIL go; or cut it into parts with `await asyncio.sleep(0)` between.",
    "calls": _ASYNC_CLIENT,
    "child": "Wait for the child process{} with asyncio.create_subprocess_exec, not with subprocess.",
    "disk": _TO_THREAD,
    "fault": _TO_THREAD,
    "lock": "Use asyncio.Lock{}, or take the lock of threads in a thread (asyncio.to_thread).",
    "gil": "Other threads computed, and the loop's thread waited for the GIL{}: move them to other processes.",
    "run_queue": "The loop's thread was ready{} and had no CPU: see what else runs on this host.",
}
_UNKNOWN_REMEDY: Final = (
    "Find what {} does between two awaits: time.sleep, a blocking client, file access or computing stop the whole loop."
)
_ADVICE: Final = (
    "Or make the handler a plain `def`: FastAPI and Starlette run those in threads, beside the loop.",
    "More worker processes bound the harm: a blocked loop then holds up only its own requests.",
)
_LOOPS: Final = ("asyncio.base_events", "asyncio.events", "asyncio.runners", "uvloop")
_WORKER: Final = "concurrent.futures.thread"


class _Kept(NamedTuple):
    """What the requests of one endpoint kept a loop for."""

    name: str
    endpoint: Endpoint | None
    spent_ns: int
    culprits: tuple[Culprit, ...]
    """In the order of its record: the longest first."""


def explain_loop(request: Request, context: Context) -> Explanation:
    """Say who kept the loop, and what they did."""
    spent_ns, waits = request.ledger["loop"], waits_in(request, "loop")
    text = "its event loop ran other work for {}, while it could have run"
    if waits:
        text += f", in {counted(len(waits), 'wait')} of 1 ms or more"
    evidence = [amount("loop", spent_ns, text)]
    kept = _keepers(request, context)
    deed = None
    for one in kept[:1]:
        deed = _deed(request, one, context)
        is_most = one.spent_ns >= _MOSTLY * spent_ns
        told = f"{_of(request, one)}{_at_a_stretch(request, one)}"
        evidence.append(Evidence(KEEPER if is_most else "one_keeper", one.name, told))
        evidence += _doing(deed) if is_most else ()
    for one in kept[1 : 1 + _OTHERS]:
        if one.spent_ns >= _NOTABLE * spent_ns:
            evidence.append(Evidence("other_keeper", one.name, _of(request, one)))
    return Explanation(tuple(evidence), remedies(deed, kept[0].name if kept else "what it ran"))


def remedies(deed: Deed | None, name: str) -> tuple[str, ...]:
    """Return what to do about a request that keeps the loop; `name` says which."""
    known = None if deed is None else _REMEDIES.get(deed.bucket)
    if known is None or deed is None:
        return (_UNKNOWN_REMEDY.format(name), *_ADVICE)[:_MAX_ADVICE]
    return (known.format(f" in {deed.place}" if deed.place else ""), *_ADVICE)[:_MAX_ADVICE]


def known_later(mechanism: Mechanism, told: Sequence[Evidence], own: Endpoint, loops: Loops) -> Explanation:
    """Add to an endpoint's verdict what its requests could not know yet: what the keeper did, whom it held up."""
    if mechanism == "event-loop":
        keeper = keeper_in(told)
        deed = None if keeper is None or any(one.name == "kept_in" for one in told) else loops.deed_of(keeper)
        return Explanation(tuple(_doing(deed)), () if deed is None else remedies(deed, "it"))
    return blocking(mechanism, loops.held_by(own), loops.deed_of(own))


def keeper_in(told: Sequence[Evidence]) -> Endpoint | None:
    """Return the endpoint that evidence says kept the loop; None where it names none."""
    name = next((str(one.value) for one in told if one.name == KEEPER and one.value != NOBODY), None)
    if name is None:
        return None
    method, _, route = name.partition(" ")
    return method, route


def blocked_others(mechanism: Mechanism, request: Request, context: Context) -> Explanation:
    """Say that a request kept the loop from others by what its time was spent on, if it is known by now that it did."""
    if request.record.threads != "followed":
        return Explanation((), ())
    loops = context.traffic.loops
    held = loops.held_up(request.record.id)
    if held.requests:
        return blocking(mechanism, held, loops.deed(request.record.id, ()))
    for wait in waits_in(request, *BUCKETS_OF[mechanism]):
        if is_blocking(wait) and wait.blocked_ns >= _NOTABLE * request.ledger.total_ns:
            frames = request.record.code.stack(wait.stack)
            if _is_on_loop(frames):
                text = "this stopped its whole event loop: it was done on the loop's own thread"
                told = Evidence("blocks", "event loop", text)
                return Explanation((told,), remedies(Deed(wait.bucket, None), "it"))
    return Explanation((), ())


def blocking(mechanism: Mechanism, held: Held, deed: Deed | None) -> Explanation:
    """Say how long others were held up; advice only where they were by what the mechanism is about."""
    if not held.requests:
        return Explanation((), ())
    is_why = deed is not None and deed.bucket in BUCKETS_OF[mechanism]
    if not is_why and held.longest_ns < _LONG_NS:
        return Explanation((), ())
    longest = f", up to {milliseconds(held.longest_ns):.1f} ms at a stretch" if held.longest_ns else ""
    did = "this stopped" if is_why else "beside that it stopped"
    text = f"{did} the event loop for others: {counted(held.requests, 'wait')} for it, {{}} in all{longest}"
    return Explanation((amount("held_up", held.spent_ns, text),), remedies(deed, "it") if is_why else ())


def _keepers(request: Request, context: Context) -> list[_Kept]:
    """Return who kept the loop, by endpoint, the longest first."""
    by_name: dict[str, list[Culprit]] = {}
    endpoints: dict[str, Endpoint] = {}
    for culprit in request.record.culprits:
        if culprit.request is None:
            name = NOBODY
        else:
            known = context.traffic.loops.endpoint_of(culprit.request)
            endpoint = known or (culprit.method or "?", fold(culprit.target))
            name = f"{endpoint[0]} {endpoint[1]}"
            endpoints[name] = endpoint
        by_name.setdefault(name, []).append(culprit)
    found = [
        _Kept(
            name,
            endpoints.get(name),
            sum(one.held_ns for one in some),
            tuple(some),
        )
        for name, some in by_name.items()
    ]
    return sorted(found, key=lambda one: -one.spent_ns)


def _of(request: Request, kept: _Kept) -> str:
    spent_ns = request.ledger["loop"]
    part = percent(min(kept.spent_ns / spent_ns, 1.0)) if spent_ns > 0 else "?"
    many = f", in {len(kept.culprits)} requests" if len(kept.culprits) > 1 else ""
    return f"{kept.name} kept it for {milliseconds(kept.spent_ns):.1f} ms ({part} of it){many}"


def _at_a_stretch(request: Request, kept: _Kept) -> str:
    times = [
        min(until - start, one.held_ns)
        for one in kept.culprits
        for start, until in stretches(request.record, one.request)
    ]
    return f", up to {milliseconds(max(times)):.1f} ms at a stretch" if times else ""


def _deed(request: Request, kept: _Kept, context: Context) -> Deed | None:
    """Return what the one that kept it longest did meanwhile; else what the last one of its endpoint did."""
    loops = context.traffic.loops
    for culprit in kept.culprits:
        if culprit.request is not None:
            deed = loops.deed(culprit.request, tuple(stretches(request.record, culprit.request)))
            if deed is not None:
                return deed
    return None if kept.endpoint is None else loops.deed_of(kept.endpoint)


def _doing(deed: Deed | None) -> Iterator[Evidence]:
    if deed is None:
        return
    did = _DID[deed.bucket]
    yield Evidence("kept_by", deed.bucket, f"which meanwhile was {did}")
    if deed.place is not None:
        yield Evidence("kept_in", deed.place, f"in {deed.place}")


def _is_on_loop(frames: Sequence[Frame]) -> bool:
    """Whether a stack is one of an event loop's thread; not where it is cut off before that shows."""
    modules = {module_of(frame) for frame in frames}
    return _WORKER not in modules and any(module.startswith(_LOOPS) for module in modules)
