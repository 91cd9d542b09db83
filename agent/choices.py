"""What the user asks of the probes: which fidelity, which of them, how often, and what all of it may cost."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from perfwatch.agent.errors import PerfwatchError
from perfwatch.probes.table import CORES, ENTRIES, SIDE, Entry

FidelityChoice: TypeAlias = Literal["auto", "exact", "sampled"]
"""`auto`: exact, else sampled."""
DEFAULT_BUDGET: Final = 0.1
MAX_HZ: Final = 1000.0
CLEAR_TEXT: Final = "cleartext"
"""No probe of its own, but it can be left out: what the ledger reads where the target calls OpenSSL."""
_HEARTBEAT: Final = "host"


class Choices(msgspec.Struct, frozen=True):
    """The settings of a collector; made by `chosen` where they come from a user."""

    fidelity: FidelityChoice = "auto"
    periods_s: tuple[tuple[str, float], ...] = ()
    """(probe, seconds between readings), for those that are to be read at another rate than their own."""
    without: tuple[str, ...] = ()
    budget: float = DEFAULT_BUDGET
    """Of one core, 0..1, for all that the collector's process does."""
    spans: bool = False
    """Listen for the spans of the middleware."""

    def period_s(self, probe: str) -> float | None:
        """Seconds between readings that were asked for; None: its own."""
        return dict(self.periods_s).get(probe)


def chosen(
    fidelity: FidelityChoice,
    rates: tuple[str, ...],
    without: tuple[str, ...],
    budget_percent: float,
    *,
    spans: bool = False,
) -> Choices:
    """Check what the user asked for; raises PerfwatchError with one line. A rate is `PROBE=HZ`."""
    for name in without:
        _check_without(name)
    return Choices(fidelity, tuple(_period(rate) for rate in rates), without, budget_percent / 100, spans)


def removable() -> tuple[tuple[str, str], ...]:
    """Return what can be left out: names, and what one does not know then."""
    cores = {entry.name for entry in CORES}
    sides = ((entry.name, entry.lost) for entry in ENTRIES if entry.name not in {*cores, _HEARTBEAT})
    return (*sides, (CLEAR_TEXT, "method and path of requests within TLS"))


def _check_without(name: str) -> None:
    if name == CLEAR_TEXT:
        return
    _entry(name)
    if name in {entry.name for entry in CORES}:
        raise PerfwatchError(f"the {name} probe cannot be left out", "choose with --fidelity exact, or sampled")
    if name == _HEARTBEAT:
        raise PerfwatchError(f"the {name} probe cannot be left out: it is the clock of a recording")


def _period(rate: str) -> tuple[str, float]:
    """Turn `disk=0.5` into ("disk", 2.0)."""
    name, _, text = rate.partition("=")
    entry = _entry(name)
    try:
        hertz = float(text)
    except ValueError:
        raise PerfwatchError(
            f"--rate {rate!r} is not PROBE=HZ", "for example: --rate disk=0.5, once in two seconds"
        ) from None
    least = 1 / entry.slowest_s
    if not least * 0.999 <= hertz <= MAX_HZ:  # 1/30 s is no round number
        raise PerfwatchError(f"the {name} probe can be read {least:.2g} to {MAX_HZ:g} times a second, not {text}")
    return name, 1 / hertz


def _entry(name: str) -> Entry:
    found = next((entry for entry in ENTRIES if entry.name == name), None)
    if found is None:
        known = ", ".join(entry.name for entry in (*CORES, *SIDE))
        raise PerfwatchError(f"there is no probe {name!r}", f"the probes are: {known}")
    return found
