"""Reports to draw: of a plausible shop, and of one in which whatever has a name would like to be markup."""

from __future__ import annotations

import asking as a
import fake_records
import making as m
import msgspec
import stacked

from perfwatch.agent.model import Container, Evidence, GcRuns, Link, StackTime, WhatIf
from perfwatch.agent.model_memory import GcRun, Growth, MemoryState, ProcessMemoryUse, Room
from perfwatch.agent.report import build, correlate
from perfwatch.agent.report_drawn import drawn_of
from perfwatch.agent.selection import latest
from perfwatch.agent.trend import Trend
from perfwatch.probes.frames import Frame

INFO = fake_records.session_info()
MB = 1 << 20
MARK = '<b id="injected">'


def shop(seconds=30):
    """The report of a shop, and what is drawn of it beside."""
    trend = Trend(INFO.started_ns)
    view, judged = correlate(INFO, trend.passing(fake_records.generate(seconds)))
    requests = [stacked.with_stacks(request) for request in latest(judged)]
    trend.judged(requests)
    view = msgspec.structs.replace(stacked.with_endpoint_stacks(view), memory=held(view), gc_runs=collected(view))
    report = build(INFO, view, requests)
    report = msgspec.structs.replace(report, timeline=tuple(trend.moments(INFO, view.now_ns)))
    return report, drawn_of(report, INFO, view, requests)


def evil(port=9):
    """Text that would like to be markup, to run, to ask somebody, to end a line, a table, a code or a link."""
    return (
        f"</script></style></title></svg></pre>{MARK}<img src=http://127.0.0.1:{port}/x onerror='document.title=1'>"
        "\"'`&amp;|@everyone#1![x](http://evil.example.com/)www.evil.example.com \\|``` a@evil.example.com\n"
        "\u2028\x1b[2J\n/close\n- "
    )


def poisoned(port=9):
    """A report with nothing but such names, and what is drawn of it beside."""
    bad = evil(port)
    info = m.info(
        **dict.fromkeys(("command", "hostname", "server", "python", "kernel", "machine"), bad),
        listeners=(bad,),
        container=Container(bad, bad, bad, bad, bad),
    )
    record = m.served(1, 1000, lock=600, target="/" + bad, method=bad)
    call = a.call(500, 100, peer=bad, local=bad, operation=bad)
    record = a.asks(record, call, culprits=(a.culprit(1, 50, "/" + bad, bad),))
    view, judged = correlate(info, [record])
    frames = (Frame(bad, bad, 1), Frame(bad[::-1], "/" + bad, 2))
    requests = [_blamed(msgspec.structs.replace(one, stacks=(_stack(frames),)), bad, frames[0]) for one in judged]
    endpoint = _blamed(view.endpoints[0], bad, frames[0])
    endpoint = msgspec.structs.replace(endpoint, route=bad, method=bad, what_if=(WhatIf("lock", 1.0, 2.0),))
    runs = GcRuns(longest=(GcRun(m.START, 9, 1, 1, bad, 2, 3, 4, bad, "probe"),))
    view = msgspec.structs.replace(
        view,
        verdict=endpoint.verdict,
        endpoints=(endpoint,),
        events=((m.START, bad),),
        target_gone=bad,
        memory=MemoryState(room=Room(bad, MB, MB, 9.0)),
        gc_runs=runs,
    )
    report = build(info, view, requests, notes=(bad,))
    return report, drawn_of(report, info, view, requests)


def held(view):
    """Memory that grows."""
    growth = Growth(2.5 * MB, 2.0 * MB, 3.0 * MB, 20 * m.SECOND)
    past = tuple((view.first_ns + second * m.SECOND, (90 + 2 * second) * MB) for second in range(20))
    process = ProcessMemoryUse(4313, 130 * MB, 120 * MB, 110 * MB, 0, 500 * MB, 3.0, 0.0, growth, past)
    return MemoryState((process,), past, growth, None, Room("/shop.slice", 120 * MB, 256 * MB, 2880.0))


def collected(view):
    """Two long collections."""
    return GcRuns(
        longest=(
            GcRun(view.first_ns + 3 * m.SECOND, 48 * m.MS, 4313, 4313, "worker-1", 2, 812, 77, "GET /search", "probe"),
            GcRun(view.first_ns + 9 * m.SECOND, 31 * m.MS, 4313, 4313, None, 2, 9, None, None, "probe"),
        )
    )


def _stack(frames):
    return StackTime(frames, "lock", is_gc=False, spent_ns=600 * m.MS)


def _blamed(one, bad, frame):
    """Give a request or an endpoint a verdict with a chain, evidence and advice of bad names."""
    link = Link("thread", bad, "sleep", 0.5, frame, None, 7, 8)
    verdict = msgspec.structs.replace(
        one.verdict, summary=bad, evidence=(Evidence("holder", bad, bad),), advice=(bad,), chain=(link, link)
    )
    return msgspec.structs.replace(one, verdict=verdict)
