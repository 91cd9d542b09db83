"""Why a request waited for a disk: the device, its queue, and the process that fills it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.agent.correlator.findings import Explanation, share, span_of, waited
from perfwatch.agent.correlator.wording import percent, size
from perfwatch.agent.model import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.series import Span
    from perfwatch.agent.model import Request
    from perfwatch.agent.model_queues import DiskQueue, DiskShare

_ADVICE: Final = (
    "Take writes and fsync out of the request: batch them, or leave them to a background thread.",
    "Find who else keeps the disk busy (iotop, pidstat -d), and move one of the two.",
    "Keep what is read often in memory.",
)
_NEIGHBOUR_ADVICE: Final = (
    "Another process fills the disk: move it to another device, or limit it (ionice, cgroup io.max).",
    "Take writes and fsync out of the request: batch them, or leave them to a background thread.",
    "Keep what is read often in memory.",
)
_OWN_ADVICE: Final = (
    "The server itself fills the disk: write less (log level, smaller rows, no fsync for each), or batch the writes.",
    "Leave writes to a background thread; keep what is read often in memory.",
    "Use a faster device if all of these bytes are wanted.",
)
_ELSEWHERE_ADVICE: Final = (
    "Find out whether that process uses the same disk (lsof -p): if so, move one of the two, or limit it (ionice).",
    "Take writes and fsync out of the request: batch them, or leave them to a background thread.",
    "Keep what is read often in memory.",
)
_LATENCY_ADVICE: Final = (
    "The disk was not full: each wait is its latency, so make fewer of them. Batch writes, fsync once, read ahead.",
    "Use a device with a shorter latency (local NVMe instead of network storage).",
    "Keep what is read often in memory.",
)
_BUSY: Final = 0.3
_MOST: Final = 0.5
_BEYOND: Final = 2.0


def explain_disk(request: Request, context: Context) -> Explanation:
    """Name the device that is the likeliest, its queue, and who moves most bytes."""
    span = span_of(request)
    evidence = [*waited(request, "disk", "the disk")]
    device, is_own = likely_device(request.record.pid, context, span)
    if device is not None:
        evidence += _queue(device, is_own=is_own)
    movers = context.around.disks.movers(span)
    if movers:
        evidence.append(_mover(movers, device))
    own = context.around.disks.moved_by(request.record.pid, span)
    if own:
        text = f"its own process moved {size(own)}/s"
        evidence.append(Evidence("own_bytes_s", round(own), text))
    return Explanation(tuple(evidence), _advice(device, movers))


def likely_device(pid: int, context: Context, span: Span) -> tuple[DiskQueue | None, bool]:
    """Return the busiest device that a process's files are on, and True.

    Where that was next to idle (files that were opened for a moment are not seen) but another one was not: the
    busiest of all, and False.
    """
    devices = context.around.disks.queues(span)
    own = context.around.disks.devices_of(pid)
    mine = next((one for one in devices if one.device in own), None)
    if mine is not None and (mine.utilisation >= _BUSY or devices[0].utilisation < _BUSY):
        return mine, True
    if devices and devices[0].utilisation >= _BUSY:
        return devices[0], False
    return mine, mine is not None


def _queue(device: DiskQueue, *, is_own: bool) -> Iterator[Evidence]:
    where = f" ({', '.join(device.file_systems[:2])})" if device.file_systems else ""
    name = f"files of the server are on {device.device}{where}" if is_own else f"the busiest disk was {device.device}"
    yield Evidence("device", device.device, f"{name}: {percent(device.utilisation)} busy, {device.depth:.1f} under way")
    yield share("device_busy", device.utilisation, f"{device.device} was {{}} busy")
    text = f"{device.depth:.1f} requests were under way on average"
    yield Evidence("device_depth", round(device.depth, 2), text)
    if device.await_ms is not None:
        text = f"each took {device.await_ms:.1f} ms on average"
        yield Evidence("device_await_ms", round(device.await_ms, 2), text)


def _mover(movers: tuple[DiskShare, ...], device: DiskQueue | None) -> Evidence:
    """Name who moved most; processes of one name together."""
    most = _most(movers)
    moved = sum(map(_bytes_s, most))
    part = percent(moved / sum(map(_bytes_s, movers)))
    whose = "the server's own process" if most[0].is_target else "process"
    who = f"{whose} {most[0].name} (pid {most[0].pid})"
    if len(most) > 1:
        whose = "processes of the server" if most[0].is_target else "processes"
        who = f"{len(most)} {whose} named {most[0].name} (the largest is pid {most[0].pid})"
    text = f"{who} moved most: {size(moved)}/s, {part} of what was seen"
    if device is not None and _is_elsewhere(movers, device):
        text += f"; {device.device} itself carried {size(_carried(device))}/s"
    return Evidence("disk_user", most[0].name, text)


def _most(movers: tuple[DiskShare, ...]) -> list[DiskShare]:
    by_name: dict[tuple[str, bool], list[DiskShare]] = {}
    for one in movers:
        by_name.setdefault((one.name, one.is_target), []).append(one)
    return max(by_name.values(), key=lambda each: sum(map(_bytes_s, each)))


def _is_elsewhere(movers: tuple[DiskShare, ...], device: DiskQueue) -> bool:
    """Tell whether those who moved most moved more than the device carried: to other disks, or not yet to any."""
    return sum(map(_bytes_s, _most(movers))) > _BEYOND * _carried(device)


def _carried(device: DiskQueue) -> float:
    return device.read_bytes_s + device.written_bytes_s


def _advice(device: DiskQueue | None, movers: tuple[DiskShare, ...]) -> tuple[str, ...]:
    if device is not None and device.utilisation < _BUSY:
        return _LATENCY_ADVICE
    if not movers:
        return _ADVICE
    own = sum(_bytes_s(one) for one in movers if one.is_target)
    elsewhere = device is not None and _is_elsewhere(movers, device)
    if own >= _MOST * (_carried(device) if device is not None and elsewhere else sum(map(_bytes_s, movers))):
        return _OWN_ADVICE
    return _ELSEWHERE_ADVICE if elsewhere else _NEIGHBOUR_ADVICE


def _bytes_s(mover: DiskShare) -> float:
    return mover.read_bytes_s + mover.written_bytes_s
