"""The one line of a verdict, for a tired person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from perfwatch.agent.model import Evidence, Mechanism

_DID: Final[dict[Mechanism, str]] = {
    "cpu": "ran {time} on the CPU{where}",
    "gc": "collected garbage for {time}{where}",
    "sleep": "slept {time}{where}",
    "chatty": "spent {time} on many calls of one kind to {whom}{where}",
    "connect": "spent {time} on opening connections to {whom}{where}",
    "tls": "spent {time} on TLS handshakes with {whom}{where}",
    "transfer": "spent {time} on moving data of {whom}{where}",
    "gil": "waited {time} for the GIL{held}",
    "lock": "waited {time} for a {lock}",
    "event-loop": "waited {time} for its event loop{kept}",
    "pool": "waited {time} for {permit}{where}",
    "queue": "waited {time} for a free {worker}",
    "run-queue": "waited {time} for a CPU",
    "throttle": "waited {time} for its CPU quota",
    "disk": "waited {time} for the disk{where}",
    "memory": "waited {time} for memory{where}",
    "network": "waited {time} for {whom}{where}",
    "dependency": "waited {time} for {whom}{where}",
}
_DOES: Final[dict[Mechanism, str]] = {
    "cpu": "is its own code on the CPU{where}",
    "gc": "is garbage collection{where}",
    "sleep": "is sleep{where}",
    "chatty": "is many calls of one kind to {whom}{where}",
    "connect": "is opening connections to {whom}{where}",
    "tls": "is TLS handshakes with {whom}{where}",
    "transfer": "is moving data of {whom}{where}",
    "gil": "waits for the GIL{held}",
    "lock": "waits for a {lock}",
    "event-loop": "waits for its event loop{kept}",
    "pool": "waits for {permit}{where}",
    "queue": "waits for a free {worker}",
    "run-queue": "waits for a CPU",
    "throttle": "waits for its CPU quota",
    "disk": "waits for the disk{where}",
    "memory": "waits for memory{where}",
    "network": "waits for {whom}{where}",
    "dependency": "waits for {whom}{where}",
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
_MAX_FUNCTION: Final = 40
_MAX_FILE: Final = 32
_CLIENT: Final = {"upload": "a slow uploader", "download": "a slow reader"}


def did(mechanism: Mechanism, spent_ns: int, share: float, evidence: Sequence[Evidence], why: str = "") -> str:
    """Say it of one request: `waited 391 ms for a lock held by refresh() at cache.py:88 (76 %)`, and why."""
    told = _DID[mechanism].format(time=duration(spent_ns), **_known(mechanism, evidence))
    return f"{told} ({percent(share)}){why}"


def does(mechanism: Mechanism, share: float, evidence: Sequence[Evidence], why: str = "") -> str:
    """Say it of many: `71 % of it waits for a lock held by refresh() at cache.py:88`."""
    return f"{percent(share)} of it {_DOES[mechanism].format(**_known(mechanism, evidence))}{why}"


def does_here(mechanism: Mechanism, evidence: Sequence[Evidence]) -> str:
    """Say it without a share: `waits for a lock held by refresh() at cache.py:88`."""
    return _DOES[mechanism].format(**_known(mechanism, evidence))


def at(function: str, file: str, line: int) -> str:
    """Return a place in the code as a person says it: `Cache.get() at cache.py:61`, `hashlib.sha256`."""
    name = cut(function.rpartition("<locals>.")[2], _MAX_FUNCTION)
    called = name if name.endswith((")", ">")) or not file else f"{name}()"
    where = f"{cut(file_name(file), _MAX_FILE)}:{line}" if line > 0 else cut(file_name(file), _MAX_FILE)
    return f"{called} at {where}" if file else called


def file_name(file: str) -> str:
    """Return what a file is called without its folders: `cache.py`; of a package `shop/__init__.py`."""
    folder, _, base = file.rpartition("/")
    return f"{folder.rpartition('/')[2]}/{base}" if base == "__init__.py" else base


def cut(text: str, length: int) -> str:
    """Return a text of at most this length, the end of a longer one replaced."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


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


def _known(mechanism: Mechanism, evidence: Sequence[Evidence]) -> dict[str, str]:
    """Return what the evidence adds to a sentence; empty where it says nothing of it."""
    values = {one.name: str(one.value) for one in evidence}
    place, holder = values.get("place"), values.get("holder")
    where = f" in {place}" if place and "callee" not in values else ""
    is_signal = values.get("awaits") == "signal"
    by = f" {'from' if is_signal else 'held by'} {holder}" if holder else where
    return {
        "where": where,
        "held": f" held by {holder}" if holder else "",
        "lock": ("signal" if is_signal else "lock") + by,
        "kept": _kept(values),
        "worker": values.get("queued_for", "worker"),
        "permit": values.get("permit", "a pooled connection or a permit"),
        "whom": _whom(mechanism, values),
    }


def _kept(values: Mapping[str, str]) -> str:
    if "keeper" not in values:
        return ""
    where = f" in {values['kept_in']}" if "kept_in" in values else ""
    return f", kept by {values['keeper']}{where}"


def _whom(mechanism: Mechanism, values: Mapping[str, str]) -> str:
    if mechanism == "network":
        return _CLIENT.get(values.get("direction", ""), "its client")
    callee, there = values.get("callee"), values.get("callee_does")
    if callee:
        where = f"{callee} in {values.get('callee_process', 'another process')}"
        return f"{where}, where it {there}" if there else where
    process = f" ({values['peer_process']})" if "peer_process" in values else ""
    return values.get("peer", "another process") + process
