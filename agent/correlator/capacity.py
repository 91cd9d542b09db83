"""Capacity: the request waits for something limited: CPUs, disk, memory, network, another process.

The contract of rules stands in `findings.py`. GIL time that starvation explains counts as run queue
(`starvation.py`); a wait in a pipe, which is booked to `other`, counts as a wait for the process at its
other end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import (
    Explanation,
    Finding,
    Rule,
    amount,
    counted,
    longest,
    milliseconds,
    released,
    share,
    waited,
    waits_in,
)
from perfwatch.agent.correlator.starvation import starved_gil_ns
from perfwatch.agent.model import Evidence, Request, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context

CHILD: Final = "child process"
PIPE: Final = "process at the other end of a pipe"
_PIPES: Final = ("pipe_", "anon_pipe_", "fifo_")
_CROWDED_ADVICE: Final = (
    "Move the busy neighbours off this host, or lower their CPU weight (cgroup cpu.weight, nice).",
    "Give the server CPUs of its own (cpuset, taskset).",
    "Add CPUs if all of this work is wanted.",
)
_OWN_CROWD_ADVICE: Final = (
    "The server itself fills the CPUs: add CPUs or hosts, or make its requests cheaper.",
    "Run no more CPU-bound workers than there are CPUs.",
)
_PINNED_ADVICE: Final = (
    "Other CPUs were idle: look for pinning (taskset, cpuset) and for a CPU quota (cgroup cpu.max).",
    "Spread the threads over more CPUs, or raise the quota.",
)
_DISK_ADVICE: Final = (
    "Take writes and fsync out of the request: batch them, or leave them to a background thread.",
    "Find who else keeps the disk busy (iotop, pidstat -d), and move one of the two.",
    "Keep what is read often in memory.",
)
_MEMORY_ADVICE: Final = (
    "Free memory or add some: pages were read back from disk or reclaimed while the request waited.",
    "Lower the number of workers or their heap; look for swapping (vmstat, memory.pressure).",
)
_UPLOAD_ADVICE: Final = (
    "Let a buffering proxy (nginx with proxy_request_buffering) read uploads before a worker is taken.",
    "Set a read timeout and a body limit; slow uploaders must not hold workers.",
)
_DOWNLOAD_ADVICE: Final = (
    "Let a buffering proxy (nginx with proxy_buffering) take the response from the worker at once.",
    "Compress or page large responses; set a send timeout.",
)
_PEER_ADVICE: Final = (
    "Look at the peer: is it slow itself, or far away? Check its own queue and its slow log.",
    "Set a timeout below your own latency goal, and cache answers that may be a little old.",
    "Make independent calls at the same time, not one after the other.",
)
_CHILD_ADVICE: Final = (
    "Take the child process out of the request: use a library, a long-lived helper, or a job queue.",
    "Give it a timeout, and do not wait for it while the client does.",
)


def run_queue(request: Request, context: Context) -> Iterator[Finding]:
    """Runnable, but without a CPU <- `run_queue`, and the starved part of `gil`."""
    spent_ns = request.ledger["run_queue"] + starved_gil_ns(request, context)
    if spent_ns:
        yield Finding("run-queue", spent_ns, partial(_explain_run_queue, request, context))


def disk(request: Request, _context: Context) -> Iterator[Finding]:
    """Blocked on block I/O or a journal <- `disk`."""
    if request.ledger["disk"]:
        yield Finding("disk", request.ledger["disk"], partial(_explain_disk, request))


def memory(request: Request, _context: Context) -> Iterator[Finding]:
    """Blocked on a page fault, swap or reclaim <- `fault`."""
    if request.ledger["fault"]:
        yield Finding("memory", request.ledger["fault"], partial(_explain_memory, request))


def network(request: Request, _context: Context) -> Iterator[Finding]:
    """Blocked by its own client <- `receive` and `send`."""
    spent_ns = request.ledger["receive"] + request.ledger["send"]
    if spent_ns:
        yield Finding("network", spent_ns, partial(_explain_network, request))


def dependency(request: Request, context: Context) -> Iterator[Finding]:
    """Wait for another process <- `calls`, `child`, and pipes of `other`."""
    spent_ns = request.ledger["calls"] + request.ledger["child"] + piped_ns(request)
    if spent_ns:
        yield Finding("dependency", spent_ns, partial(_explain_dependency, request, context))


def piped_ns(request: Request) -> int:
    """Return how much of `other` was spent on pipes, as far as single waits of 1 ms or more tell."""
    return min(sum(wait.blocked_ns for wait in _pipe_waits(request)), request.ledger["other"])


def _pipe_waits(request: Request) -> tuple[Wait, ...]:
    """Return the waits in pipes that no thread of the same process ended."""
    return tuple(
        wait
        for wait in waits_in(request, "other")
        if wait.detail is not None
        and wait.detail.startswith(_PIPES)
        and (wait.waker is None or wait.waker.pid != request.record.pid)
    )


def _explain_run_queue(request: Request, context: Context) -> Explanation:
    host = context.host
    own_ns, starved_ns = request.ledger["run_queue"], starved_gil_ns(request, context)
    evidence = [amount("run_queue", own_ns, "its thread was ready to run, but had no CPU, for {}")]
    if starved_ns:
        text = "it waited {} for the GIL while its holders waited for a CPU"
        evidence.append(amount("starved_gil", starved_ns, text))
    if host.cpu_use is not None:
        evidence.append(share("cpu_use", host.cpu_use, "the host's CPUs were {} busy"))
    if host.runnable is not None:
        text = f"{counted(host.runnable, 'thread')} wanted a CPU, of which there are {host.cpus}"
        evidence.append(Evidence("runnable", host.runnable, text))
    used = host.used_by("target", context.now_ns)
    if used is None or host.cpu_use is None:
        return Explanation(tuple(evidence), _PINNED_ADVICE if _idle(context) else _CROWDED_ADVICE)
    others = max(host.cpu_use * host.cpus - used, 0.0)
    text = f"others used {others:.1f} CPUs, the server {used:.1f}"
    evidence.append(Evidence("others_cpus", round(others, 1), text))
    if _idle(context):
        return Explanation(tuple(evidence), _PINNED_ADVICE)
    return Explanation(tuple(evidence), _CROWDED_ADVICE if others >= used else _OWN_CROWD_ADVICE)


def _idle(context: Context) -> bool:
    return context.host.cpu_use is not None and context.host.cpu_use < 0.7  # noqa: PLR2004


def _explain_disk(request: Request) -> Explanation:
    return Explanation(waited(request, "disk", "the disk"), _DISK_ADVICE)


def _explain_memory(request: Request) -> Explanation:
    text = "pages to be read back or reclaimed"
    return Explanation(waited(request, "fault", text), _MEMORY_ADVICE)


def _explain_network(request: Request) -> Explanation:
    record, ledger = request.record, request.ledger
    if ledger["receive"] >= ledger["send"]:
        direction, advice, told = (
            "upload",
            _UPLOAD_ADVICE,
            waited(request, "receive", "the rest of the request"),
        )
        moved = Evidence("received_bytes", record.received_bytes, f"it received {record.received_bytes} bytes")
    else:
        direction, advice, told = "download", _DOWNLOAD_ADVICE, waited(request, "send", "its client to read")
        moved = Evidence("sent_bytes", record.sent_bytes, f"it sent {record.sent_bytes} bytes")
    who = "a client that sends slowly" if direction == "upload" else "a client that reads slowly"
    client = Evidence("client", record.remote, f"the client is {record.remote}")
    return Explanation((Evidence("direction", direction, f"held up by {who}"), *told, moved, client), advice)


def _explain_dependency(request: Request, context: Context) -> Explanation:
    ledger = request.ledger
    parts = {"calls": ledger["calls"], "child": ledger["child"], "pipe": piped_ns(request)}
    if parts["calls"] >= max(parts["child"], parts["pipe"]):
        return Explanation(_calls_evidence(request), _PEER_ADVICE)
    if parts["child"] >= parts["pipe"]:
        told = waited(request, "child", "a child process")
        whom = Evidence("peer", CHILD, f"waited for a {CHILD}")
        return Explanation((whom, *told), _CHILD_ADVICE)
    worst = longest(_pipe_waits(request))
    evidence = (
        Evidence("peer", PIPE, f"waited for the {PIPE}"),
        amount("pipe", parts["pipe"], "waited {} for data or room in a pipe"),
        *released(worst, context),
    )
    return Explanation(evidence, _CHILD_ADVICE)


def _calls_evidence(request: Request) -> tuple[Evidence, ...]:
    told = waited(request, "calls", "other services")
    peer = max(request.record.peers, key=lambda one: one.wait_ns, default=None)
    if peer is None:
        return told
    count = counted(peer.waits, "wait")
    text = f"waited {milliseconds(peer.wait_ns):.1f} ms for {peer.address}, in {count}"
    evidence = [
        Evidence("peer", peer.address, text),
        Evidence("peer_waits", peer.waits, f"{count} for {peer.address}"),
        *told,
    ]
    if len(request.record.peers) > 1:
        others = len(request.record.peers) - 1
        evidence.append(Evidence("other_peers", others, f"and for {counted(others, 'other peer')}"))
    return tuple(evidence)


RULES: Final[tuple[Rule, ...]] = (run_queue, disk, memory, network, dependency)
