"""Runs of labelled faults: each leaves a recording and what clients and server clocked, in a directory of its own.

`build/faults/NAME--VARIANT/` has `session.perfwatch` and `run.json`. What is there is not run again, so a benchmark can
be ended and taken up; several may run at once, whoever makes a directory runs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec
import psutil
import pytest
import serving
from faults import labelled, services, surroundings
from faults.catalogue import SLOW_MS
from faults.observing import held_share, party_slow, planted_share, route_of
from recording import recording

from perfwatch.examples.load import Load, percentile_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from faults.labelled import Case
    from faults.loop_catalogue import Party

    from perfwatch.examples.load import Sample

PLACE: Final = Path(__file__).parent.parent.parent / "build" / "faults"
VARIANTS: Final = ("mild", "strong", "drawn")
MENDED_VARIANT: Final = "strong"
WARM_S: Final = 0.3
MENDED_S: Final = 1.2
DEAR: Final = (surroundings.postgres, services.redis, services.secure_web)
"""What takes seconds to start, and has nothing to do with one run's load, serves all of them."""


class Told(msgspec.Struct, frozen=True):
    """One endpoint of a run: what is true of it, by its label and by the clocks of clients and server."""

    route: str
    principle: str
    mechanism: str | None
    named: str | None
    held_by: str | None
    second: str | None
    count: int
    slow: int
    p50_ms: float
    p95_ms: float
    max_ms: float
    share: float | None
    """Of the slow requests' latency, what the fault made of it."""
    second_share: float | None
    held_share: float | None
    failed: int
    crowded: float | None = None
    """The part of the slow requests' latency in which the handler's thread got no CPU, by schedstat; 0 in a loop."""
    chain: tuple[tuple[str, str | None], ...] = ()


class Run(msgspec.Struct, frozen=True):
    """One run of a case."""

    name: str
    variant: str
    paths: tuple[str, ...]
    attaching_ns: int
    """When `perfwatch record` was started."""
    load_average: float
    parties: tuple[Told, ...] = ()
    mend: str | None = None
    mend_of: str | None = None
    mended: dict[str, tuple[float, float]] = {}
    """p50 and p95 without the fault, of each endpoint that answered."""
    skipped: str | None = None

    @property
    def place(self) -> Path:
        """Where it is kept."""
        return PLACE / f"{self.name}--{self.variant}"


@dataclass(frozen=True)
class Plan:
    """A case as it shall be run."""

    case: Case
    variant: str
    seed: int

    @property
    def place(self) -> Path:
        """Where it will be kept."""
        return PLACE / f"{self.case.name}--{self.label}"

    @property
    def label(self) -> str:
        """The variant; of a drawn one with the seed."""
        return f"{self.variant}-{self.seed}" if self.variant == "drawn" else self.variant

    @property
    def varied(self) -> Case:
        """The case with its figures."""
        if self.variant == "drawn":
            return labelled.drawn(self.case, self.seed)
        return labelled.varied(self.case, labelled.MILD if self.variant == "mild" else labelled.STRONG)


def kept() -> list[Run]:
    """Return all runs that were made, by name."""
    return [msgspec.json.decode(file.read_bytes(), type=Run) for file in sorted(PLACE.glob("*/run.json"))]


class Runner:
    """Runs plans, one after the other; the dear services stay until its end."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._kept: dict[object, dict[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, plan: Plan) -> Run | None:
        """Run a plan and keep what came of it; None where that was done, or somebody is at it."""
        if not _claimed(plan.place):
            return None
        try:
            run = self._measured(plan)
        except pytest.skip.Exception as skipped:
            run = Run(plan.case.name, plan.label, (), 0, 0.0, skipped=str(skipped))
        except BaseException:
            shutil.rmtree(plan.place)
            raise
        (plan.place / "draft").write_bytes(msgspec.json.encode(run))
        (plan.place / "draft").rename(plan.place / "run.json")
        return run

    def _measured(self, plan: Plan) -> Run:
        case = plan.varied
        with self._served(case) as (server, environment), Load(server.address, case.load, seed=plan.seed) as load:
            load.wait(WARM_S)
            attaching_ns = time.monotonic_ns()
            with recording(server.pid, slow_ms=SLOW_MS) as recorder:
                begun_ns = time.monotonic_ns()
                load.wait(case.seconds)
                ended_ns = time.monotonic_ns()
                recorder.stop()
                shutil.copyfile(recorder.file, plan.place / "session.perfwatch")
            load.stop()
            truth = serving.truth(server.address)
        seen = Seen(load.samples, attaching_ns, begun_ns, ended_ns)
        return Run(
            name=case.name,
            variant=plan.label,
            paths=tuple(endpoint.call.path for endpoint in case.load),
            attaching_ns=attaching_ns,
            load_average=os.getloadavg()[0] / (psutil.cpu_count() or 1),
            parties=tuple(_told(party, seen, truth, environment) for party in case.parties),
            mend=case.mend.text if case.mend else None,
            mend_of=case.mend.of if case.mend else None,
            mended=self._mended(plan) if plan.variant == MENDED_VARIANT and case.mend else {},
        )

    def _mended(self, plan: Plan) -> dict[str, tuple[float, float]]:
        """Return what each endpoint that answered takes without the fault, by its clients' clock: p50 and p95."""
        case = labelled.mended(plan.varied)
        with self._served(case) as (server, _), Load(server.address, case.load, seed=plan.seed) as load:
            load.wait(WARM_S)
            begun_ns = time.monotonic_ns()
            load.wait(MENDED_S)
            load.stop()
            seen = Seen(load.samples, begun_ns, begun_ns, time.monotonic_ns())
            return {party.route: _quantiles(mine) for party in case.parties if (mine := seen.of(party))}

    @contextlib.contextmanager
    def _served(self, case: Case) -> Iterator[tuple[serving.Server, dict[str, str]]]:
        with contextlib.ExitStack() as stack:
            environment: dict[str, str] = {}
            for around in case.around:
                environment |= self._around(around) if around in DEAR else stack.enter_context(around())
            server = stack.enter_context(case.server(environment=environment))
            yield server, environment

    def _around(self, around: Callable[[], contextlib.AbstractContextManager[dict[str, str]]]) -> dict[str, str]:
        if around not in self._kept:
            self._kept[around] = self._stack.enter_context(around())
        return self._kept[around]


@dataclass(frozen=True)
class Seen:
    """What the clients saw."""

    all_samples: Sequence[Sample]
    attaching_ns: int
    begun_ns: int
    ended_ns: int

    @property
    def samples(self) -> list[Sample]:
        """Those from begin to end, while the recorder was attached."""
        return [one for one in self.all_samples if self.begun_ns < one.start_ns and one.end_ns < self.ended_ns]

    def of(self, party: Party) -> list[Sample]:
        """Return those of an endpoint."""
        return [sample for sample in self.samples if route_of(sample) == party.route]

    def longest_ms(self, party: Party) -> float:
        """Return the longest of all that the recorder can have seen."""
        mine = [sample for sample in self.all_samples if route_of(sample) == party.route]
        return max((sample.latency_ms for sample in mine if sample.end_ns > self.attaching_ns), default=0.0)


def _told(party: Party, seen: Seen, truth: Sequence[serving.Measured], environment: dict[str, str]) -> Told:
    mine, slow = seen.of(party), party_slow(party, seen, SLOW_MS)
    labelled_as = bool(slow) and party.principle != "healthy"
    p50_ms, p95_ms = _quantiles(mine)
    return Told(
        route=party.route,
        principle=party.principle,
        mechanism=party.mechanism,
        named=environment.get(party.named) if party.named else None,
        held_by=party.held_by,
        second=party.second[0] if party.second else None,
        count=len(mine),
        slow=len(slow),
        p50_ms=p50_ms,
        p95_ms=p95_ms,
        max_ms=seen.longest_ms(party),
        share=planted_share(party.kind, slow, truth) if labelled_as else None,
        second_share=planted_share(party.second[1], slow, truth) if labelled_as and party.second else None,
        held_share=held_share(slow, truth, party.held_by) if labelled_as and party.held_by else None,
        crowded=planted_share("crowded", slow, truth) if slow else None,
        failed=sum(sample.status != 200 for sample in mine),
        chain=party.chain,
    )


def _quantiles(samples: Sequence[Sample]) -> tuple[float, float]:
    return (percentile_ms(samples, 50), percentile_ms(samples, 95)) if samples else (0.0, 0.0)


def _claimed(place: Path) -> bool:
    """Make the directory of a run; one that a process has left without a result is taken over."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.mkdir()
    except FileExistsError:
        if (place / "run.json").exists() or _is_alive(place / "pid"):
            return False
    (place / "pid").write_text(str(os.getpid()))
    return True


def _is_alive(file: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return psutil.pid_exists(int(file.read_text()))
    return False
