"""What a process as a whole does, where none of its requests is seen: shares of its threads' time, a suggestion.

Never a verdict: threads that wait for work look like threads that wait in vain, and whose time it was is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import DOING, counted
from perfwatch.agent.correlator.needs import unseen
from perfwatch.agent.correlator.rates import part
from perfwatch.agent.correlator.wording import duration, percent
from perfwatch.agent.model import BUCKETS, Bucket, Evidence, SessionInfo, Verdict

if TYPE_CHECKING:
    from perfwatch.agent.correlator.threads import Spent

_SUGGESTS: Final[dict[Bucket, str]] = {
    "queue": "requests that wait for a worker",
    "on_cpu": "work that is expensive (cpu)",
    "gil": "threads that compete for the interpreter lock (gil)",
    "lock": "a contended lock, or pool workers that wait for each other (lock)",
    "loop": "an event loop that is held up (event-loop)",
    "run_queue": "too few CPUs, busy neighbours or a CPU quota (run-queue, throttle)",
    "disk": "a slow or a full disk (disk)",
    "fault": "memory that is short, or files that are not in it (memory)",
    "calls": "slow peers (dependency)",
    "sleep": "sleeps and polling (sleep)",
    "receive": "clients that send slowly (network)",
    "send": "clients that read slowly (network)",
    "child": "slow child processes (dependency)",
    "other": "waits in the kernel that have no name here",
}
_NOTABLE: Final = 0.05
_MOST: Final = 3
_ADVICE: Final = (
    "`perfwatch doctor` says whether requests can be seen here, and the command that would show them.",
    "If they can: send it a request; check that traffic reaches this process and not another one.",
)


def verdict_on_threads(info: SessionInfo, spent: Spent, now_ns: int) -> Verdict:
    """Say what the threads did with the time in which they were not idle."""
    since = duration(max(now_ns - info.started_ns, 0))
    need = unseen(info.probes)
    busy_ns = sum(spent.spent_ns.values()) + spent.unaccounted_ns
    lived_ns = busy_ns + spent.idle_ns
    if not busy_ns:
        summary = f"no request seen in {since}; its threads only waited for work (sampled)"
        told = (*_read(spent), *need.evidence)
        return Verdict("unknown", None, 0.0, 0.0, summary, told, (*need.advice, *_ADVICE))
    ranked = sorted(BUCKETS, key=lambda bucket: -spent.spent_ns[bucket])[:_MOST]
    notable = [bucket for bucket in ranked if part(spent.spent_ns[bucket], busy_ns) >= _NOTABLE]
    shares = {bucket: part(spent.spent_ns[bucket], busy_ns) for bucket in notable}
    evidence = [
        Evidence("busy", round(part(busy_ns, lived_ns), 3), f"its threads were busy in {_of(busy_ns, lived_ns)}"),
        *(_doing(bucket, share) for bucket, share in shares.items()),
    ]
    if part(spent.unaccounted_ns, busy_ns) >= _NOTABLE:
        text = (
            f"for {percent(part(spent.unaccounted_ns, busy_ns))} of their busy time it could not be told what they did"
        )
        evidence.append(Evidence("unaccounted", round(part(spent.unaccounted_ns, busy_ns), 3), text))
    did = ", ".join(f"{percent(share)} {DOING[bucket]}" for bucket, share in shares.items())
    summary = f"no request seen in {since}; its threads spent their busy time so: {did or 'it could not be told how'}"
    told = (*evidence, *_read(spent), *need.evidence)
    return Verdict("unknown", None, 0.0, 0.0, f"{summary} (sampled)", told, (*need.advice, *_ADVICE))


def _doing(bucket: Bucket, share: float) -> Evidence:
    text = f"{percent(share)} of their busy time {DOING[bucket]}: what {_SUGGESTS[bucket]} would look like"
    return Evidence(f"threads_{bucket}", round(share, 3), text)


def _of(busy_ns: int, lived_ns: int) -> str:
    return f"{percent(part(busy_ns, lived_ns))} of their time, and waited for work in the rest"


def _read(spent: Spent) -> tuple[Evidence, ...]:
    text = f"sampled: thread states were read {counted(spent.samples, 'time')}"
    return (Evidence("fidelity", "sampled", text),)
