"""What perfwatch says of a run: its recording is fed, step by step as it came, to the correlator as it stands now."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.session.reader import SessionReader

if TYPE_CHECKING:
    from runs import Run, Told

    from perfwatch.agent.model import Endpoint, View

STEP_NS: Final = 100_000_000
SOURCES: Final = Path(__file__).parent.parent.parent


class Said(msgspec.Struct, frozen=True):
    """The verdict on one endpoint of a run."""

    route: str
    principle: str
    mechanism: str | None
    share: float
    confidence: float
    summary: str
    causes: dict[str, float]
    first_right_s: float | None
    """From starting `perfwatch record` until a view had the right verdict; None where that never was."""
    predicted: dict[str, tuple[float, float]]
    """p50 and p95 without each of its mechanisms."""
    names_it: bool | None
    """Whether the evidence names whom it must name; None where it need not."""
    follows: bool | None = None
    """Whether its chain of blame is the one that was planted, to the end; None where none is labelled."""


class Judged(msgspec.Struct, frozen=True):
    """All verdicts on a run."""

    said: tuple[Said, ...]
    start_s: float
    """From starting `perfwatch record` until all of its probes were open."""


class Kept(msgspec.Struct, frozen=True):
    """The same, and by which rules."""

    digest: str
    judged: Judged


def judged(run: Run) -> Judged:
    """Return what is said of each endpoint of a run, in the order of its parties; kept as long as no rule changes."""
    file = run.place / "verdicts.json"
    with contextlib.suppress(FileNotFoundError, msgspec.ValidationError):
        kept = msgspec.json.decode(file.read_bytes(), type=Kept)
        if kept.digest == _digest():
            return kept.judged
    made = _replayed(run)
    file.write_bytes(msgspec.json.encode(Kept(_digest(), made)))
    return made


def _replayed(run: Run) -> Judged:
    first: dict[str, float] = {}
    with SessionReader(run.place / "session.perfwatch") as session:
        correlator = Correlator(session.info)
        due_ns = 0
        for record in session.records():
            if record.at_ns >= due_ns and due_ns:
                _look(run, correlator.view(), run.attaching_ns, first)
            due_ns = max(due_ns, record.at_ns // STEP_NS * STEP_NS + STEP_NS)
            correlator.feed(record)
        view = correlator.view()
    _look(run, view, run.attaching_ns, first)
    said = tuple(_said(party, _find(view, party.route), first.get(party.route)) for party in run.parties)
    return Judged(said, (session.info.started_ns - run.attaching_ns) / 1e9)


def _look(run: Run, view: View, attached_ns: int, first: dict[str, float]) -> None:
    """Note which endpoints have the right verdict for the first time."""
    for party in run.parties:
        endpoint = _find(view, party.route)
        if party.route not in first and endpoint is not None and _right(party, endpoint):
            first[party.route] = (view.now_ns - attached_ns) / 1e9


def _right(party: Told, endpoint: Endpoint) -> bool:
    return (endpoint.verdict.principle, endpoint.verdict.mechanism) == (party.principle, party.mechanism)


def _find(view: View, route: str) -> Endpoint | None:
    return next((endpoint for endpoint in view.endpoints if endpoint.route == route), None)


def _said(party: Told, endpoint: Endpoint | None, first_right_s: float | None) -> Said:
    if endpoint is None:
        return Said(party.route, "unknown", None, 0, 0, "not seen", {}, None, {}, None)
    verdict = endpoint.verdict
    predicted = {what_if.mechanism: (what_if.p50_ms, what_if.p95_ms) for what_if in endpoint.what_if}
    told = msgspec.json.encode((verdict.summary, verdict.evidence, verdict.chain)).decode()
    return Said(
        route=party.route,
        principle=verdict.principle,
        mechanism=verdict.mechanism,
        share=verdict.share,
        confidence=verdict.confidence,
        summary=verdict.summary,
        causes={cause.mechanism: cause.share for cause in verdict.causes},
        first_right_s=first_right_s,
        predicted=predicted,
        names_it=_names(party, told),
        follows=tuple((link.kind, link.mechanism) for link in verdict.chain) == party.chain if party.chain else None,
    )


def _names(party: Told, told: str) -> bool | None:
    """Return whether whoever is to blame is named: a peer or process, and a holder by its route or its function."""
    if party.named is None and party.held_by is None:
        return None
    holder = party.held_by or ""
    function = f"{holder.split('/')[1].replace('-', '_')}()" if holder else ""
    return (party.named or "") in told and (holder in told or function in told)


@functools.cache
def _digest() -> str:
    """Return what tells one state of the rules from another."""
    digest = hashlib.sha256()
    for folder in ("agent", "probes", "benchmarks/accuracy"):
        for file in sorted((SOURCES / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
