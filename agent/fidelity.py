"""Which probe tells the requests: the exact ledger, or where that is not to be had, the sampled one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, runtime_checkable

from perfwatch.agent.choices import CLEAR_TEXT
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import ProbeStatus
from perfwatch.agent.reading import Reading
from perfwatch.agent.target import interpreter_of, printable
from perfwatch.probes.errors import ProbeError, Unavailable
from perfwatch.probes.probe import Availability, Probe
from perfwatch.probes.table import LEDGER, PAUSES, SAMPLED, Entry, Tree, constructor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.choices import Choices
    from perfwatch.probes.records import Record

DOCTOR: Final = "perfwatch doctor"


class Core(Probe, Protocol):
    """A probe that follows process trees and tells their requests."""

    @property
    def pids(self) -> frozenset[int]:
        """The processes of the tree that live."""
        ...

    @property
    def timed(self) -> frozenset[int]:
        """Those of them whose garbage collections it tells itself."""
        ...

    def listeners(self) -> list[str]:
        """Addresses that the target listens on."""
        ...

    def drain(self, now_ns: int) -> Sequence[Record]:
        """Return what is left at the end of a recording."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A probe that tells requests, and tells them better by what the others found."""

    def learn(self, records: Sequence[Record]) -> None:
        """Take in what was found."""
        ...


class Attached(NamedTuple):
    """The probe that tells the requests of a session."""

    fidelity: Literal["exact", "sampled"]
    core: Core
    reading: Reading
    statuses: tuple[ProbeStatus, ...]
    """Of this probe, and of the exact one where it was not to be had."""


def make_core(entry: Entry, pids: Sequence[int], **options: bool) -> Core:
    """Make one of the two probes; nothing is attached yet."""
    try:
        core: Core = constructor(entry)(pids[0], interpreter_of, also=pids[1:], **options)
    except ImportError as error:
        raise _unloadable(error) from None
    return core


def make_side(entry: Entry, tree: Tree) -> Probe:
    """Make one of the other probes; nothing is attached yet. Raises Unavailable where it cannot be loaded."""
    try:
        probe: Probe = constructor(entry)(tree)
    except ImportError as error:
        raise _unloadable(error) from None
    return probe


def attach(pids: Sequence[int], choices: Choices) -> Attached:
    """Attach with the best fidelity that was asked for and is to be had; raises PerfwatchError without any."""
    if choices.fidelity == "sampled":
        return _attach_sampled(pids, choices, _left("left out by --fidelity sampled", None))
    try:
        return _attach_exact(pids, choices)
    except Exception as error:  # whatever it is, one can still sample, and the user is told
        if choices.fidelity == "exact":
            raise PerfwatchError(*explained(error)) from error
        ledger = _left(*explained(error))
    return _attach_sampled(pids, choices, ledger)


def explained(error: Exception) -> tuple[str, str | None]:
    """Return the reason and the remedy of a probe's failure; its words may come from the target."""
    if isinstance(error, Unavailable):
        return printable(error.reason), error.remedy
    kind = "" if isinstance(error, ProbeError | OSError) else f"{type(error).__name__}: "
    return f"a probe failed: {kind}{printable(str(error))}", DOCTOR


def status_of(probe: Probe, found: Availability) -> ProbeStatus:
    """Say of a probe that was entered how much of it there is."""
    if found.status == "available":
        return ProbeStatus(probe.name, "running", period_s=probe.period_s)
    return ProbeStatus(probe.name, "limited", found.reason, found.lost, found.remedy, probe.period_s)


def _attach_exact(pids: Sequence[int], choices: Choices) -> Attached:
    core = make_core(
        LEDGER,
        pids,
        times_collections=PAUSES.name not in choices.without,
        reads_clear_text=CLEAR_TEXT not in choices.without,
    )
    reading = Reading(core, choices.period_s(LEDGER.name), LEDGER.slowest_s)
    return Attached("exact", core, reading, (ProbeStatus(core.name, "running", period_s=core.period_s),))


def _attach_sampled(pids: Sequence[int], choices: Choices, ledger: ProbeStatus) -> Attached:
    try:
        core = make_core(SAMPLED, pids)
        found = core.availability()
        reading = Reading(core, choices.period_s(SAMPLED.name), SAMPLED.slowest_s)
    except Exception as error:
        reason, remedy = explained(error)
        if choices.fidelity == "auto":
            reason = f"{ledger.reason}; and sampling is not possible either: {reason}"
        raise PerfwatchError(reason, ledger.remedy or remedy) from error
    return Attached("sampled", core, reading, (ledger, status_of(core, found)))


def _unloadable(error: ImportError) -> Unavailable:
    return Unavailable(f"it cannot be loaded: {printable(str(error))}", "install perfwatch anew")


def _left(reason: str, remedy: str | None) -> ProbeStatus:
    return ProbeStatus(LEDGER.name, "unavailable", reason, LEDGER.lost, remedy)
