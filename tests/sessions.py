"""Sessions for tests: records that look real, strategies for any record, and a recorder that can be killed."""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path

from hypothesis import strategies as st

from perfwatch.agent.model import Ledger, ProbeStatus, Request, SessionInfo, Verdict
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.probes.records import (
    BUCKETS,
    HostSample,
    InFlight,
    ListenerSample,
    Loss,
    OpenRequest,
    Peer,
    ProcessSample,
    Record,
    ServedRequest,
    TargetChange,
    Wait,
    Waker,
)
from perfwatch.probes.samples import Connection, PressureSample, ThreadsSample, ThreadState

START_NS = 5_000_000_000
SECOND_NS = 1_000_000_000
LEDGER = tuple(range(len(BUCKETS)))
INFO = SessionInfo(
    perfwatch_version="0.1.0",
    started_unix_ns=1_700_000_000_000_000_000,
    started_ns=START_NS,
    pid=4312,
    command="gunicorn shop.wsgi",
    python="3.12.1",
    server="gunicorn",
    listeners=("127.0.0.1:8000", "unix:/run/x.sock"),
    fidelity="exact",
    slow_ms=None,
    hostname="host",
    kernel="6.18.0",
    machine="x86_64",
    cpus=2,
    memory_bytes=8 << 30,
    probes=(ProbeStatus("ledger", "running"), ProbeStatus("psi", "unavailable", "no /proc/pressure")),
)


def request(number: int, at_ns: int) -> ServedRequest:
    """A request with a wait and a peer; every third has neither."""
    wait = Wait(at_ns - 9, 5, 3, "lock", "futex", "0x7f", None, Waker(1, 2, "worker", number - 1))
    dense = ((), ()) if number % 3 == 0 else ((Peer("10.0.0.5:5432", 40, 2),), (wait, wait))
    return ServedRequest(
        at_ns, number, number % 7, 4312, 4319, at_ns - 99, at_ns - 90, at_ns,
        "GET", f"/item/{number}", 200, LEDGER, *dense, 120, 4096,
        "127.0.0.1:8000", "127.0.0.1:40000", "answered", "one",
    )  # fmt: skip


def second_of(number: int, requests: int = 4) -> list[Record]:
    """All records of one second (0, 1, 2, ...): one of each kind, between requests."""
    at_ns = START_NS + number * SECOND_NS
    open_one = OpenRequest(
        7, 4312, 4319, None, at_ns - 50, "POST", "/hang", LEDGER, "lock", at_ns - 9, "futex", None, None, "l"
    )
    served = [request(number * requests + i + 1, at_ns + 10 * (i + 1)) for i in range(requests)]
    return [
        HostSample(at_ns, number, 2, 3, 4, 5, 6),
        *served[:2],
        InFlight(at_ns + 25, 1, (open_one,)),
        ProcessSample(at_ns + 26, 4312, "target", 10 * number, 20, 8),
        *served[2:],
        ListenerSample(at_ns + 900, "127.0.0.1:8000", number, 2048),
        TargetChange(at_ns + 901, 4313, "forked", "worker 2"),
        Loss(at_ns + 902, "ledger", 3, "ring full"),
        PressureSample(at_ns + 903, "host", 10 * number, None, 3, 4, 5, 6),
        Connection(at_ns + 904, 7, "accepted", "a:1", "b:2", 5, 6, 7, "TLSv1.3", True, 0, False, None, None, None),
        ThreadsSample(at_ns + 905, 4312, 1, (ThreadState(4312, "python", "S", "ep_poll", *[None] * 6),)),
    ]


def judged(record: ServedRequest) -> Request:
    """A request with a verdict that tells it from others."""
    verdict = Verdict("concurrency", "lock", record.id / 1000, 0.9, f"waited for a lock ({record.id})")
    return Request(record, "/item/{}", Ledger(99, record.booked_ns), slow=True, verdict=verdict)


def record_session(path: Path, seconds: int, *, requests: int = 4) -> list[Record]:
    """Record a finished session with a verdict a second; returns its records."""
    records = []
    with SessionWriter(path, INFO) as writer:
        for number in range(seconds):
            batch = second_of(number, requests)
            for record in batch:
                writer.write(record)
            writer.write_verdict(judged(next(r for r in batch if isinstance(r, ServedRequest))))
            writer.commit()
            records += batch
        writer.close("the time was over")
    return records


def read(path: Path) -> list[Record]:
    """All sound records of a session."""
    with SessionReader(path) as reader:
        return list(reader.records())


_integers = st.one_of(st.integers(0, 1 << 40), st.integers(-(1 << 63), (1 << 64) - 1))
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_ledgers = st.lists(_integers, min_size=len(BUCKETS), max_size=len(BUCKETS)).map(tuple)


def _of(hint: object) -> st.SearchStrategy[object]:
    """Any value of a type that occurs in records, within what msgpack can say."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(typing.get_args(hint))
    if typing.get_origin(hint) is tuple and Ellipsis not in typing.get_args(hint):
        return st.tuples(*map(_of, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return st.lists(_of(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return st.one_of(map(_of, typing.get_args(hint)))
    fields = {name: _of(of) for name, of in typing.get_type_hints(hint).items()}
    return st.builds(hint, **fields | ({"booked_ns": _ledgers} if "booked_ns" in fields else {}))


_PLAIN = {
    int: _integers,
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    str: _texts,
    type(None): st.none(),
}
ANY_RECORD = _of(Record)


if __name__ == "__main__":  # a recorder that says what is safe, until it is killed
    with SessionWriter(Path(sys.argv[1]), INFO) as recorder:
        print("0", flush=True)
        for second in range(100_000):
            for one in second_of(second):
                recorder.write(one)
            recorder.commit()
            print(second + 1, flush=True)
