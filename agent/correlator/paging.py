"""Why a request waited for memory: pages read back, reclaimed by the thread itself, or refused by a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.agent.correlator.findings import Explanation, counted, share, span_of, waited
from perfwatch.agent.correlator.wording import size
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.rates import MemoryRate
    from perfwatch.agent.model import Request
    from perfwatch.agent.model_queues import CgroupLimit


class _Shortage(NamedTuple):
    """What was short, in one word, which many requests may share; and what to do."""

    name: str
    text: str
    advice: tuple[str, ...]


_UNKNOWN: Final = (
    "Free memory or add some: pages were read back from disk or reclaimed while the request waited.",
    "Lower the number of workers or their heap; look for swapping (vmstat, memory.pressure).",
)
_LIMIT: Final = _Shortage(
    "limit",
    "its cgroup met its memory limit",
    (
        "The cgroup reached its memory limit: raise it (memory.max, docker --memory, Kubernetes limits.memory).",
        "Lower the number of workers or their heap, so that they fit below it.",
    ),
)
_SWAP: Final = _Shortage(
    "swap",
    "the host was swapping",
    (
        "The host swaps: add memory, or take work off it; lower vm.swappiness for a server that must answer fast.",
        "Lower the number of workers or their heap.",
    ),
)
_RECLAIM: Final = _Shortage("reclaim", "threads had to reclaim pages themselves: none were free", _UNKNOWN)
_FILES: Final = _Shortage(
    "files",
    "memory was left: what was read are pages of files",
    (
        "There was memory left: pages of files (mmap, code, data sets) were read for the first time, or again.",
        "Read them before requests come (preload, madvise WILLNEED, vmtouch), or keep them on a faster disk.",
    ),
)
_ROOMY: Final = 0.1
_LEAST: Final = 0.05
_SWAPPING: Final = 100_000
_RECLAIMING: Final = 1


def explain_memory(request: Request, context: Context) -> Explanation:
    """Say what was short, as far as the kernel counted it while the request ran."""
    span, memory = span_of(request), context.around.memory
    rate, room = memory.rate(span), memory.available(span.until_ns)
    limits = [one for one in context.around.cgroups.limits(span) if one.limit_hits]
    evidence = [*waited(request, "fault", "pages to be read back or reclaimed")]
    short = _shortage(rate, room, is_limited=bool(limits))
    if short is not None:
        evidence.append(Evidence("shortage", short.name, short.text))
    if room is not None:
        available, total = room
        text = f"{size(available)} of {size(total)} were available ({{}})"
        evidence.append(share("memory_available", available / total, text))
    if limits:
        evidence += _limit(max(limits, key=lambda one: one.limit_hits or 0))
    if rate is not None:
        evidence += _counted(rate)
    _, own = memory.faults(request.record.pid, span)
    evidence += _per_second("own_major_faults_s", own, f"process {request.record.pid} had {{}} major faults a second")
    return Explanation(tuple(evidence), _UNKNOWN if short is None else short.advice)


def _shortage(rate: MemoryRate | None, room: tuple[int, int] | None, *, is_limited: bool) -> _Shortage | None:
    if is_limited:
        return _LIMIT
    if rate is None:
        return None
    if (rate.swapped_in_bytes_s or 0) >= _SWAPPING:
        return _SWAP
    if (rate.direct_reclaims_s or 0) >= _RECLAIMING:
        return _RECLAIM
    return _FILES if room is not None and room[0] >= _ROOMY * room[1] else None


def _counted(rate: MemoryRate) -> Iterator[Evidence]:
    if rate.swapped_in_bytes_s:
        text = f"the host read {size(rate.swapped_in_bytes_s)}/s back from swap"
        yield Evidence("swapped_in_bytes_s", round(rate.swapped_in_bytes_s), text)
    yield from _per_second(
        "direct_reclaims_s", rate.direct_reclaims_s, "threads had to reclaim pages {} times a second"
    )
    yield from _per_second("major_faults_s", rate.major_faults_s, "the host had {} major faults a second")


def _per_second(name: str, rate: float | None, text: str) -> Iterator[Evidence]:
    if rate is not None and rate >= _LEAST:
        yield Evidence(name, round(rate, 1), text.replace("{}", f"{rate:.1f}", 1))


def _limit(limit: CgroupLimit) -> Iterator[Evidence]:
    hits = limit.limit_hits or 0
    size_ = "" if limit.memory_limit_bytes is None else f" of {size(limit.memory_limit_bytes)}"
    path = limit.memory_path or limit.path
    yield Evidence("memory_cgroup", path, f"cgroup {path} met its memory limit{size_} {counted(hits, 'time')}")
    yield Evidence("limit_hits", hits, f"the limit was met {counted(hits, 'time')}")
