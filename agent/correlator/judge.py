"""Makes the verdict of one request: all rules, weighed, and the winner explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from perfwatch.agent.correlator import capacity, concurrency, downstream, efficiency
from perfwatch.agent.correlator.because import because
from perfwatch.agent.correlator.certainty import sure
from perfwatch.agent.correlator.chains import NOBODY as NO_CHAIN
from perfwatch.agent.correlator.chains import Followed, follow
from perfwatch.agent.correlator.collecting import is_estimate
from perfwatch.agent.correlator.fidelity import LEAST_READINGS, POLLED, readings_of
from perfwatch.agent.correlator.findings import Explanation, Finding, Rule, amount, counted, longest, waits_in
from perfwatch.agent.correlator.looks import NOBODY, Looks
from perfwatch.agent.correlator.looping import blocked_others
from perfwatch.agent.correlator.needs import needed
from perfwatch.agent.correlator.neighbours import with_neighbours
from perfwatch.agent.correlator.normal import base_cost, compared, weigh_against
from perfwatch.agent.correlator.places import telling
from perfwatch.agent.correlator.refining import is_suspended
from perfwatch.agent.correlator.shares import frame_shares, placed, places_in, places_told
from perfwatch.agent.correlator.stack_times import EXACT, stack_times
from perfwatch.agent.correlator.weighing import CERTAIN, Balance, Weighing
from perfwatch.agent.correlator.wording import at, did, percent
from perfwatch.agent.model import PRINCIPLE_OF, Cause, Evidence, FrameShare, Mechanism, Request, StackTime, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.correlator.context import Context
    from perfwatch.agent.correlator.normal import Normal
    from perfwatch.agent.model import Wait

RULES: Final[tuple[Rule, ...]] = (*concurrency.RULES, *capacity.RULES, *efficiency.RULES, *downstream.RULES)
_NOTABLE: Final = 0.05
BLAMED: Final = frozenset({"holder", "one_holder"})
"""Evidence of who held what was waited for."""
_PLACES: Final = frozenset({"place", "one_place", "other_place"})
_LOSS_TRUST: Final = 0.9
_MAX_ADVICE: Final = 3
_NOT_ONE: Final = {
    "shared": "its thread served other requests meanwhile, and it could not be followed among them: "
    "only the time before its first read is known",
    "several": "another thread answered it, and it could not be followed to that one: "
    "only the time before its first read is known",
    "unmatched": "sampling could not tell which thread served it",
}


class Known(Protocol):
    """What is known of an endpoint."""

    def normal(self, *, uncounted: int = 0) -> Normal | None:
        """Return what its normal requests are like; so many slow ones are not counted as such yet."""
        ...

    @property
    def looks(self) -> Looks:
        """How the tasks of its requests were looked at."""
        ...


class Judged(NamedTuple):
    """A verdict, and the figures it was made of."""

    verdict: Verdict
    balance: Balance
    stacks: tuple[StackTime, ...]
    frames: tuple[FrameShare, ...]
    followed: Followed = NO_CHAIN
    """How far the chain of blame was followed."""


def judge(request: Request, context: Context, looks: Looks = NOBODY, of: Known | None = None) -> Judged:
    """Judge a request; `looks` is what `refine` says of it, `of` what is known of its endpoint.

    Costs 40-120 us, 80-180 us more where its stacks are known, and 20 us for each call.
    """
    stacks = stack_times(request, context.around.code)
    request = msgspec.structs.replace(request, stacks=stacks)
    found, balance = _balanced(request, context, looks)
    normal = of.normal(uncounted=1) if of and request.slow else None
    weighing = weigh_against(balance, normal)
    kept = _LOSS_TRUST if context.lost_near(request.record) else 1.0
    doubts = weighing.mechanism == "sleep" and of is not None and looks.doubt_sleep(request.ledger["sleep"], of.looks)
    if weighing.mechanism is None or doubts:
        return Judged(_unknown(request, balance, context), balance, stacks, ())
    if weighing.mechanism == "gc" and is_estimate(request, context.around.code):
        kept *= POLLED
    weighing = weighing._replace(confidence=sure(weighing.confidence, balance.readings) * kept)
    winner = next(finding for finding in found if finding.mechanism == weighing.mechanism)
    winner = with_neighbours(winner, request, context)
    frames = frame_shares(places_in(stacks, winner.mechanism), winner.mechanism, request.ledger.total_ns)
    verdict = _verdict(request, winner, weighing, balance, frames)
    verdict = _compared(verdict, winner.mechanism, balance, normal)
    verdict = _with_others(verdict, blocked_others(winner.mechanism, request, context))
    followed = follow(request, winner.mechanism, context)
    return Judged(chained(verdict, balance, followed), balance, stacks, frames, followed)


def chained(verdict: Verdict, balance: Balance, followed: Followed) -> Verdict:
    """Return a verdict with this chain of blame, and in its summary the words for it."""
    mechanism = verdict.mechanism
    if mechanism is None or followed.chain == verdict.chain:
        return verdict
    summary = summed_up(mechanism, balance.spent_ns[mechanism], verdict.share, verdict.evidence, followed)
    return msgspec.structs.replace(verdict, chain=followed.chain, summary=summary)


def summed_up(
    mechanism: Mechanism, spent_ns: int, share: float, evidence: Sequence[Evidence], followed: Followed = NO_CHAIN
) -> str:
    """Return the one line of a request's verdict."""
    return did(mechanism, spent_ns, share, evidence, because(mechanism, followed.chain, evidence))


def causes(balance: Balance, winner: Mechanism | None) -> tuple[Cause, ...]:
    """Return the mechanisms that explain at least 5 % of a latency: the one that is blamed, then the largest."""
    shares = [Cause(name, round(balance.part(balance.spent_ns[name]), 4)) for name in balance.ranked()]
    return tuple(sorted((one for one in shares if one.share >= _NOTABLE), key=lambda one: one.mechanism != winner))


def balance_of(request: Request, context: Context, looks: Looks) -> Balance:
    """Return what a request spent its time on, by mechanism; costs 10-20 us."""
    return _balanced(request, context, looks)[1]


def _balanced(request: Request, context: Context, looks: Looks) -> tuple[list[Finding], Balance]:
    found = [finding for rule in RULES for finding in rule(request, context)]
    spent = {finding.mechanism: finding.spent_ns for finding in found}
    other_ns = sum(request.ledger.booked_ns) - sum(spent.values())
    readings, suspended_ns = readings_of(request), _suspended_ns(request)
    return found, Balance(request.ledger.total_ns, spent, other_ns, readings, suspended_ns, looks)


def _compared(own: Verdict, winner: Mechanism, balance: Balance, normal: Normal | None) -> Verdict:
    """Add what normal requests of its endpoint are like, behind why and where."""
    told = tuple(compared(balance, normal, "this one took"))
    if not told:
        return own
    first = next(
        (at for at, one in enumerate(own.evidence) if at and one.name not in _PLACES | BLAMED), len(own.evidence)
    )
    evidence = (*own.evidence[:first], *told, *own.evidence[first:])
    summary = own.summary + base_cost(balance, winner, normal)
    return msgspec.structs.replace(own, evidence=evidence, summary=summary)


def _with_others(own: Verdict, others: Explanation) -> Verdict:
    """Add what a request did to others behind what it did and where, and what to do about that before all."""
    told = own.evidence
    first = next((at for at, one in enumerate(told) if at and one.name not in _PLACES), len(told))
    advice = (*others.advice[:1], *own.advice)[:_MAX_ADVICE] if others.advice else own.advice
    return msgspec.structs.replace(own, evidence=(*told[:first], *others.evidence, *told[first:]), advice=advice)


def _suspended_ns(request: Request) -> int:
    """Return how long its coroutine was suspended in what nobody saw: unknown, or a timer that was inferred."""
    return sum(max(wait.blocked_ns, 0) for wait in request.record.waits if is_suspended(wait))


def also(balance: Balance, winner: Mechanism | None) -> tuple[Evidence, ...]:
    """Name what else takes at least 5 % of a latency, mechanisms first."""
    told = [
        Evidence("also", name, f"also {name} {percent(balance.part(balance.spent_ns[name]))}")
        for name in balance.ranked()
        if name != winner and balance.part(balance.spent_ns[name]) >= _NOTABLE
    ]
    if balance.part(balance.other_ns) >= _NOTABLE:
        told.append(amount("other", balance.other_ns, "{} are booked to no known mechanism"))
    if balance.part(abs(balance.unaccounted_ns)) >= _NOTABLE:
        what = "are unaccounted" if balance.unaccounted_ns > 0 else "too much are booked"
        told.append(amount("unaccounted", abs(balance.unaccounted_ns), f"{{}} {what}"))
    return tuple(told)


def _verdict(
    request: Request, winner: Finding, weighing: Weighing, balance: Balance, frames: Sequence[FrameShare]
) -> Verdict:
    explained, advice = winner.explain()
    where = tuple(places_told(frames, winner.mechanism, winner.spent_ns, balance.total_ns))
    # After its first sentence, and who is to blame: the screens show the first eight.
    first = next((at for at, one in enumerate(explained, 1) if one.name in BLAMED), 1)
    evidence = (*explained[:first], *where, *explained[first:])
    return Verdict(
        principle=PRINCIPLE_OF[winner.mechanism],
        mechanism=winner.mechanism,
        share=round(weighing.share, 4),
        confidence=round(weighing.confidence, 3),
        summary=summed_up(winner.mechanism, winner.spent_ns, round(weighing.share, 4), evidence),
        evidence=(*evidence, *also(balance, winner.mechanism), *_gaps(request, balance)),
        advice=placed(winner.mechanism, advice, frames, where),
        causes=causes(balance, winner.mechanism),
    )


def _unknown(request: Request, balance: Balance, context: Context) -> Verdict:
    need = needed(request, balance, context.probes)
    evidence = (*_why_not(request), *need.evidence, *also(balance, None), *_gaps(request, balance))
    told = _doubt(request, balance), evidence, need.advice
    return Verdict("unknown", None, 0.0, 0.0, *told, causes=causes(balance, None))


def _doubt(request: Request, balance: Balance) -> str:
    if request.record.threads == "shared":
        return "it shared its thread with others, and could not be followed"
    if request.record.threads == "several":
        return "it went through several threads, and could not be followed"
    if request.record.threads == "unmatched":
        return "sampling could not tell which thread served it"
    return undecided(balance)


def undecided(balance: Balance) -> str:
    """Say why no mechanism was found to dominate."""
    if 0 < balance.readings < LEAST_READINGS:
        return f"too short to be sampled: {counted(balance.readings, 'reading')} of its thread"
    if balance.part(balance.unaccounted_ns) >= CERTAIN:
        return f"{percent(balance.part(balance.unaccounted_ns))} of it is unaccounted"
    suspended = balance.part(min(balance.suspended_ns, balance.other_ns))
    if suspended >= CERTAIN:
        return f"{percent(suspended)} of it its coroutine was suspended, no telling in what"
    if balance.part(balance.other_ns) >= CERTAIN:
        return f"{percent(balance.part(balance.other_ns))} of it is blocked in the kernel, no telling why"
    largest = [f"{name} {percent(balance.part(balance.spent_ns[name]))}" for name in balance.ranked()[:2]]
    return f"no single cause: {' and '.join(largest)}" if largest else "nothing is booked"


def _why_not(request: Request) -> tuple[Evidence, ...]:
    threads = request.record.threads
    told = [] if threads in EXACT else [Evidence("threads", threads, _NOT_ONE[threads])]
    wait = longest(waits_in(request, "other"))
    if wait is not None and is_suspended(wait):
        where = _suspended_in(request, wait)
        told.append(Evidence("suspended_in", where, f"its coroutine was suspended for longest in {where}"))
    elif wait is not None:
        where = wait.detail or "an unnamed kernel function"
        call = f" (system call {wait.call})" if wait.call else ""
        told.append(Evidence("kernel_function", where, f"its longest other wait was in {where}{call}"))
    return tuple(told)


def _suspended_in(request: Request, wait: Wait) -> str:
    frame = telling(request.record.code.stack(wait.stack))
    return "a place that is not known" if frame is None else at(frame.function, frame.file, frame.line)


def _gaps(request: Request, balance: Balance) -> tuple[Evidence, ...]:
    lost = request.record.waits_lost
    told = []
    if lost:
        text = f"{lost} of its waits were not recorded one by one; their time is booked"
        told.append(Evidence("waits_lost", lost, text))
    if balance.readings:
        text = f"sampled, not measured: its thread was inferred, and looked at {counted(balance.readings, 'time')}"
        told.append(Evidence("fidelity", "sampled", text))
    return tuple(told)
