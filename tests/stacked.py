"""Stacks for judged requests, made by hand: a shop on Flask under gunicorn, each bucket spent in a place of its own."""

from __future__ import annotations

import msgspec

from perfwatch.agent.model import BUCKETS, FrameShare, StackTime
from perfwatch.probes.frames import Frame

STDLIB = "/usr/lib/python3.12"
PACKAGES = "/srv/shop/venv/lib/python3.12/site-packages"
OWN = "/srv/shop/shop"

OUTER = (
    Frame("Thread._bootstrap_inner", f"{STDLIB}/threading.py", 1073),
    Frame("Thread.run", f"{STDLIB}/threading.py", 1010),
    Frame("ThreadWorker.handle", f"{PACKAGES}/gunicorn/workers/gthread.py", 281),
    Frame("ThreadWorker.handle_request", f"{PACKAGES}/gunicorn/workers/gthread.py", 334),
    Frame("Flask.__call__", f"{PACKAGES}/flask/app.py", 1536),
    Frame("Flask.wsgi_app", f"{PACKAGES}/flask/app.py", 1511),
    Frame("Flask.dispatch_request", f"{PACKAGES}/flask/app.py", 902),
)
ORDER = Frame("place_order", f"{OWN}/orders.py", 41)
SEARCH = Frame("search", f"{OWN}/search.py", 17)
CACHE = Frame("Cache.get", f"{OWN}/cache.py", 61)
QUERY = (
    Frame("fetch", f"{OWN}/db.py", 12),
    Frame("Cursor.execute", f"{PACKAGES}/psycopg2/extensions.py", 99),
    Frame("recv", "/usr/lib/x86_64-linux-gnu/libpq.so.5", 0, is_native=True),
)
RANKED = (
    Frame("rank", f"{OWN}/search.py", 33),
    Frame("sorted", "", 0, is_native=True),
)


def stack(*inner: Frame, outer=OUTER) -> tuple[Frame, ...]:
    """The innermost first, as records have them."""
    return tuple(reversed((*outer, *inner)))


def time(bucket, ms, *inner, is_gc=False, outer=OUTER) -> StackTime:
    """Time of a request below the server's own frames; without any where the bucket is `queue`."""
    return StackTime(() if bucket == "queue" else stack(*inner, outer=outer), bucket, is_gc, round(ms * 1_000_000))


def shop_stacks():
    """The 512 ms of one order."""
    return (
        time("queue", 9),
        time("lock", 391, ORDER, CACHE),
        time("calls", 71, ORDER, *QUERY),
        time("on_cpu", 14, ORDER, Frame("json.loads", "", 0, is_native=True)),
        time("on_cpu", 9, ORDER),
        time("on_cpu", 4, ORDER, is_gc=True),
        time("disk", 12, Frame("place_order", ORDER.file, 55)),
        StackTime((), "other", is_gc=False, spent_ns=2_000_000),
    )


def with_stacks(request):
    """A judged request with its whole latency told by stacks, and the places that its verdict points to."""
    stacks, place = _told(request.route, request.ledger)
    return msgspec.structs.replace(request, stacks=stacks, frames=(place,))


def with_endpoint_stacks(view):
    """A view whose judged requests and endpoints have stacks."""
    requests = tuple(with_stacks(request) for request in view.requests)
    endpoints = tuple(_endpoint(endpoint) if endpoint.judged_count else endpoint for endpoint in view.endpoints)
    return msgspec.structs.replace(view, requests=requests, endpoints=endpoints)


def _endpoint(endpoint):
    mean, place = _told(endpoint.route, endpoint.ledger)
    total = (msgspec.structs.replace(stack, spent_ns=stack.spent_ns * endpoint.judged_count) for stack in mean)
    return msgspec.structs.replace(endpoint, stacks=tuple(total), frames=(place,))


def _told(route, ledger):
    """Stacks that a ledger adds up to, and the place where most of it was spent."""
    is_order = route.startswith("/order")
    handler = ORDER if is_order else SEARCH
    inner = {"lock": (CACHE,), "calls": QUERY, "on_cpu": () if is_order else RANKED}
    stacks = [
        StackTime(() if bucket == "queue" else stack(handler, *inner.get(bucket, ())), bucket, is_gc=False, spent_ns=ns)
        for bucket, ns in zip(BUCKETS, ledger.booked_ns, strict=True)
        if ns
    ]
    if ledger.unaccounted_ns:
        stacks.append(StackTime((), "other", is_gc=False, spent_ns=ledger.unaccounted_ns))
    ranked = FrameShare("rank", RANKED[0].file, 33, 0.93, "sorted")
    return tuple(stacks), FrameShare("Cache.get", CACHE.file, 61, 0.76) if is_order else ranked
