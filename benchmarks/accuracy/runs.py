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
    p95_ms: float
    max_ms: float
    share: float | None
    """Of the slow requests' latency, what the fault made of it."""
    second_share: float | None
    held_share: float | None
    failed: int
    crowded: float | None = None
    """The part of the slow requests' latency in which the handler's thread got no CPU, by schedstat; 0 in a loop."""


class Run(msgspec.Struct, frozen=True):
    """One run of a case."""

    name: str
    variant: str
    paths: tuple[str, ...]
    begun_ns: int
    attached_s: float
    load_average: float
    parties: tuple[Told, ...] = ()
    mend: str | None = None
    mended_p95_ms: dict[str, float] = {}
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
            run = Run(plan.case.name, plan.label, (), 0, 0, 0, skipped=str(skipped))
        except BaseException:
            shutil.rmtree(plan.place)
            raise
        (plan.place / "draft").write_bytes(msgspec.json.encode(run))
        (plan.place / "draft").rename(plan.place / "run.json")
        return run

    def _measured(self, plan: Plan) -> Run:
        case = plan.varied
        with self._served(case) as (server, environment):
            for endpoint in case.load:
                serving.get(server.address, endpoint.call.path.replace("{n}", "0"))
            started_ns = time.monotonic_ns()
            with recording(server.pid, slow_ms=SLOW_MS) as recorder:
                begun_ns = time.monotonic_ns()
                with Load(server.address, case.load, seed=plan.seed) as load:
                    load.wait(case.seconds)
                recorder.stop()
                shutil.copyfile(recorder.file, plan.place / "session.perfwatch")
            truth = serving.truth(server.address)
        mended = self._mended(plan) if plan.variant == MENDED_VARIANT and case.mend else {}
        return Run(
            name=case.name,
            variant=plan.label,
            paths=tuple(endpoint.call.path for endpoint in case.load),
            begun_ns=begun_ns,
            attached_s=(begun_ns - started_ns) / 1e9,
            load_average=os.getloadavg()[0] / (psutil.cpu_count() or 1),
            parties=tuple(_told(party, load.samples, truth, environment) for party in case.parties),
            mend=case.mend.text if case.mend else None,
            mended_p95_ms=mended,
        )

    def _mended(self, plan: Plan) -> dict[str, float]:
        """Return what each endpoint takes without the fault, by its clients' clock."""
        case = labelled.mended(plan.varied)
        with self._served(case) as (server, _):
            for endpoint in case.load:
                serving.get(server.address, endpoint.call.path.replace("{n}", "0"))
            with Load(server.address, case.load, seed=plan.seed) as load:
                load.wait(MENDED_S)
            return {party.route: _p95_ms(_of(party, load.samples)) for party in case.parties}

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


def _told(
    party: Party, samples: Sequence[Sample], truth: Sequence[serving.Measured], environment: dict[str, str]
) -> Told:
    mine, slow = _of(party, samples), party_slow(party, _Samples(samples), SLOW_MS)
    labelled_as = bool(slow) and party.principle != "healthy"
    return Told(
        route=party.route,
        principle=party.principle,
        mechanism=party.mechanism,
        named=environment.get(party.named) if party.named else None,
        held_by=party.held_by,
        second=party.second[0] if party.second else None,
        count=len(mine),
        slow=len(slow),
        p95_ms=_p95_ms(mine),
        max_ms=max((sample.latency_ms for sample in mine), default=0.0),
        share=planted_share(party.kind, slow, truth) if labelled_as else None,
        second_share=planted_share(party.second[1], slow, truth) if labelled_as and party.second else None,
        held_share=held_share(slow, truth, party.held_by) if labelled_as and party.held_by else None,
        crowded=planted_share("crowded", slow, truth) if slow else None,
        failed=sum(sample.status != 200 for sample in mine),
    )


@dataclass(frozen=True)
class _Samples:
    samples: Sequence[Sample]


def _of(party: Party, samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if route_of(sample) == party.route]


def _p95_ms(samples: Sequence[Sample]) -> float:
    return percentile_ms(samples, 95) if samples else 0.0


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
