"""Where nothing explains a latency: what would have to be known to say why, and how that is to be had here.

By what is missing: the probe that would tell it, and why that did not run, or the command that shows it by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.findings import counted, longest, waits_in
from perfwatch.agent.correlator.refining import is_suspended
from perfwatch.agent.correlator.stack_times import EXACT
from perfwatch.agent.correlator.weighing import CERTAIN
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.weighing import Balance
    from perfwatch.agent.model import ProbeStatus, Request

_DOCTOR: Final = "`perfwatch doctor` says what this machine allows, and the command that would allow more."
_SPANS: Final = (
    "What a coroutine awaits is read from asyncio's tasks 20 times a second. For shorter waits, and other loops, "
    "use the middleware (`perfwatch middleware --spans`, then `perfwatch record --spans`): it tells the tree of calls."
)
_EACH: Final = "No one cause leads: look at the largest one after the other, each is worth its share and no more."
_FOLLOWED: Final = (
    "Record a worker from its first instruction (`perfwatch run -- COMMAND`), so that every thread and connection is "
    "known; or one that serves one request per thread (gunicorn --worker-class gthread or sync)."
)
_NO_REASON: Final = "no reason is given"
_TELLS_REQUESTS: Final = frozenset({"ledger", "sampled"})


class Need(NamedTuple):
    """What is missing, and what to do about it."""

    evidence: tuple[Evidence, ...]
    advice: tuple[str, ...]


def needed(request: Request, balance: Balance, probes: Sequence[ProbeStatus]) -> Need:
    """Say what would be needed to explain a request, by what is missing of it first."""
    record = request.record
    if record.fidelity == "sampled":
        return _probe("ledger", "exact ledgers, from the ledger probe", probes, _DOCTOR)
    if record.threads not in EXACT:
        what = "to have followed it from thread to thread, which begins when a connection or a thread is seen first"
        return _need("threads", what, _FOLLOWED)
    if balance.part(balance.unaccounted_ns) >= CERTAIN:
        return _unaccounted(request)
    if any(is_suspended(wait) for wait in record.waits):
        return _probe("tasks", "what its coroutine awaited, from the tasks probe or the middleware", probes, _SPANS)
    if balance.part(balance.other_ns) >= CERTAIN:
        return _in_kernel(request)
    return Need((), (_EACH,))


def unseen(probes: Sequence[ProbeStatus]) -> Need:
    """Say why requests may not be seen at all: a probe that tells them and did not run, or ran in part."""
    lacking = [one for one in probes if one.name in _TELLS_REQUESTS and one.status != "running"]
    evidence = tuple(
        Evidence("needed", one.name, f"requests may go unseen: {one.name} {_ran(one)} ({one.reason or _NO_REASON})")
        for one in lacking
    )
    return Need(evidence, tuple(f"To see requests: {one.remedy}." for one in lacking if one.remedy))


def _ran(status: ProbeStatus) -> str:
    return "ran in part" if status.status == "limited" else "did not run"


def _probe(name: str, what: str, probes: Sequence[ProbeStatus], otherwise: str) -> Need:
    """Name a probe, and why it did not tell; where it ran, `otherwise` is what to do."""
    status = next((one for one in probes if one.name == name and one.status != "running"), None)
    if status is None:
        return _need(name, what, otherwise)
    why = f"{what}: {name} {_ran(status)}"
    remedy = f"For {what}: {status.remedy}." if status.remedy else otherwise
    return _need(name, f"{why} ({status.reason or _NO_REASON})", remedy, *(otherwise,) * bool(status.remedy))


def _unaccounted(request: Request) -> Need:
    record = request.record
    by_hand = f"See it by hand: `strace -f -T -p {record.pid}` tells each system call of it with its time."
    if record.waits_lost:
        what = f"{counted(record.waits_lost, 'wait')} that the recorder lost, at this rate of events"
        return _need(
            "waits", what, "Lose less: `--without stacks`, `--budget 20`, or fewer processes at once.", by_hand
        )
    what = "what its thread did in the time that is unaccounted"
    return _need(
        "unaccounted", what, by_hand, "Attach before the request begins: what was booked earlier is not known."
    )


def _in_kernel(request: Request) -> Need:
    record, wait = request.record, longest(waits_in(request, "other"))
    function = (wait.detail if wait is not None else None) or "an unnamed kernel function"
    stack = f"While it waits: `sudo cat /proc/{record.pid}/task/{record.tid}/stack` shows the way into {function}."
    by_hand = f"`strace -f -T -p {record.pid}` tells the system call that it waits in, and for which file."
    return _need("kernel_function", f"what {function} waited for: no bucket stands for it", stack, by_hand)


def _need(name: str, what: str, *advice: str) -> Need:
    return Need((Evidence("needed", name, f"to say why, this would be needed: {what}"),), tuple(advice))
