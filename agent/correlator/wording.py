"""The one line of a verdict, for a tired person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Evidence, Mechanism

_DID: Final[dict[Mechanism, str]] = {
    "cpu": "ran {time} on the CPU",
    "sleep": "slept {time}",
    "gil": "waited {time} for the GIL",
    "lock": "waited {time} for a lock",
    "queue": "waited {time} for a free worker",
    "run-queue": "waited {time} for a CPU",
    "throttle": "waited {time} for its CPU quota",
    "disk": "waited {time} for the disk",
    "memory": "waited {time} for memory",
    "network": "waited {time} for {whom}",
    "dependency": "waited {time} for {whom}",
}
_DOES: Final[dict[Mechanism, str]] = {
    "cpu": "is its own code on the CPU",
    "sleep": "is sleep",
    "gil": "waits for the GIL",
    "lock": "waits for a lock",
    "queue": "waits for a free worker",
    "run-queue": "waits for a CPU",
    "throttle": "waits for its CPU quota",
    "disk": "waits for the disk",
    "memory": "waits for memory",
    "network": "waits for {whom}",
    "dependency": "waits for {whom}",
}
_DAY_NS: Final = 86_400e9
_FORMS: Final = (
    (9.95e6, 1e6, "{:.1f} ms"),
    (9.995e8, 1e6, "{:.0f} ms"),
    (9.995e9, 1e9, "{:.2f} s"),
    (120e9, 1e9, "{:.1f} s"),
    (7200e9, 60e9, "{:.0f} min"),
    (2 * _DAY_NS, 3600e9, "{:.0f} h"),
)
"""(below this, unit, form), ascending."""
_CLIENT: Final = {"upload": "a slow uploader", "download": "a slow reader"}


def did(mechanism: Mechanism, spent_ns: int, share: float, evidence: Sequence[Evidence]) -> str:
    """Say it of one request: `waited 391 ms for a lock (76 %)`."""
    told = _DID[mechanism].format(time=duration(spent_ns), whom=_whom(mechanism, evidence))
    return f"{told} ({percent(share)})"


def does(mechanism: Mechanism, share: float, evidence: Sequence[Evidence]) -> str:
    """Say it of many: `71 % of it waits for a lock`."""
    return f"{percent(share)} of it {_DOES[mechanism].format(whom=_whom(mechanism, evidence))}"


def duration(spent_ns: float) -> str:
    """Return a time as a person says it, in at most 7 characters up to a century: `8.4 ms`, `391 ms`, `5 min`."""
    for below_ns, unit_ns, form in _FORMS:
        if spent_ns < below_ns:
            return form.format(spent_ns / unit_ns)
    return f"{spent_ns / _DAY_NS:.0f} d"


def percent(share: float) -> str:
    """Return a share of 0..1 in percent; 100 % only where it is all."""
    return f"{min(share * 100, 100 if share > 0.9995 else 99.4):.0f} %"  # noqa: PLR2004


def size(count: float) -> str:
    """Return bytes as a person says them: `512 B`, `1.5 MB`, `120 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5:  # noqa: PLR2004 - what would be shown as 1000
            return f"{count:.0f} {unit}" if unit == "B" or count >= 9.95 else f"{count:.1f} {unit}"  # noqa: PLR2004
        count /= 1000
    return f"{count:.0f} PB"


def _whom(mechanism: Mechanism, evidence: Sequence[Evidence]) -> str:
    values = {one.name: one.value for one in evidence}
    if mechanism == "network":
        return _CLIENT.get(str(values.get("direction")), "its client")
    return str(values.get("peer", "another process"))
