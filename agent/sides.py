"""The probes beside the one that tells the requests: each runs as long as it can, and none ends a session."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from perfwatch.agent.fidelity import explained, make_side, status_of
from perfwatch.agent.model import ProbeStatus
from perfwatch.agent.reading import Reading
from perfwatch.probes.errors import Vanished
from perfwatch.probes.records import Loss
from perfwatch.probes.table import SIDE, SPANS, Entry, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfwatch.agent.choices import Choices
    from perfwatch.probes.records import Record


@runtime_checkable
class Guest(Protocol):
    """A probe that looks at what the requests of the stream tell of."""

    def meet(self, records: Sequence[Record]) -> None:
        """Take note of it."""


class Sides:
    """Enters all of them that were not left out and can run; `close` leaves those that still do.

    `statuses` says what became of each of them at the start.
    """

    def __init__(self, tree_of: Callable[[Entry], Tree], choices: Choices) -> None:
        """`tree_of` gives whom a probe is to look at."""
        self.readings: list[Reading] = []
        self._guests: dict[str, Guest] = {}
        try:
            entries = (*SIDE, SPANS) if choices.spans else SIDE
            self.statuses = tuple(self._enter(entry, tree_of(entry), choices) for entry in entries)
        except BaseException:
            self.close()
            raise

    def begin(self, now_s: float, apart_s: float) -> None:
        """Set the beat of their readings: not all in one moment of each second, and each within its first period."""
        for place, reading in enumerate(self.readings):
            reading.begin(now_s + place * apart_s % reading.probe.period_s)

    def meet(self, records: Sequence[Record]) -> None:
        """Show the stream to the probe that looks for whom the target calls, if it runs."""
        for guest in self._guests.values():
            guest.meet(records)

    def read_due(self, now_s: float) -> list[Record]:
        """Read those whose time has come; what fails is switched off, and that is told as a `Loss`."""
        return self._read([reading for reading in self.readings if now_s >= reading.due_s], now_s)

    def read_last(self, now_s: float) -> list[Record]:
        """Read once more those whose last reading is half a period old: rates want two, also of a short session."""
        return self._read([reading for reading in self.readings if reading.is_half_due(now_s)], now_s)

    def _read(self, readings: Sequence[Reading], now_s: float) -> list[Record]:
        records: list[Record] = []
        for reading in readings:
            try:
                records += reading.read(now_s)
            except Vanished:
                continue  # the process that it looked at has just ended
            except Exception as error:  # noqa: BLE001 - whatever it is, the ledger goes on, and the user is told
                records.append(self._switch_off(reading, error))
        return records

    def close(self) -> None:
        """Leave them, the last one first; one that fails even at that keeps none of the others."""
        while self.readings:
            with suppress(Exception):
                self.readings.pop().close()

    def _enter(self, entry: Entry, tree: Tree, choices: Choices) -> ProbeStatus:
        if entry.name in choices.without:
            return _left_out(entry, "left out by --without", None)
        try:
            probe = make_side(entry, tree)
            found = probe.availability()
            if found.status == "unavailable":
                return _left_out(entry, found.reason, found.remedy, found.lost)
            reading = Reading(probe, choices.period_s(entry.name), entry.slowest_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, the ledger goes on, and the user is told
            return _left_out(entry, *explained(error))
        self.readings.append(reading)
        if isinstance(probe, Guest):  # asked once: it takes 10 us
            self._guests[reading.name] = probe
        return status_of(probe, found)

    def _switch_off(self, reading: Reading, error: Exception) -> Loss:
        self.readings.remove(reading)
        self._guests.pop(reading.name, None)
        with suppress(Exception):
            reading.close()
        reason, _ = explained(error)
        return Loss(time.monotonic_ns(), reading.name, 1, f"not read any more: {reason}")


def _left_out(entry: Entry, reason: str | None, remedy: str | None, lost: str | None = None) -> ProbeStatus:
    return ProbeStatus(entry.name, "unavailable", reason, lost or entry.lost, remedy)
