"""Verdicts on many requests: made of the sums of their ledgers and of their own verdicts.

The same weighing as for one request, over the mean; the evidence is that of the requests whose own
verdict names the same mechanism: what most of them name (a peer, a thread, a lock) stands for all.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from perfwatch.agent.correlator.because import because
from perfwatch.agent.correlator.certainty import sure
from perfwatch.agent.correlator.common_chain import common_chain
from perfwatch.agent.correlator.fidelity import POLLED
from perfwatch.agent.correlator.findings import Explanation, amount, counted, milliseconds
from perfwatch.agent.correlator.judge import BLAMED, Judged, also, causes, undecided
from perfwatch.agent.correlator.looks import NOBODY
from perfwatch.agent.correlator.normal import base_cost, compared, weigh_against
from perfwatch.agent.correlator.shares import frame_shares, is_of, places_told
from perfwatch.agent.correlator.stack_sums import StackSums
from perfwatch.agent.correlator.weighing import Balance, estimated
from perfwatch.agent.correlator.wording import does
from perfwatch.agent.model import BUCKETS, PRINCIPLE_OF, Evidence, FrameShare, Ledger, Mechanism, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from perfwatch.agent.correlator.normal import Normal
    from perfwatch.agent.model import StackTime

Later: TypeAlias = "Callable[[Mechanism, tuple[Evidence, ...]], Explanation]"
"""What is added to the evidence of many by what became known after each of them was judged."""
_VERDICTS: Final = 64
_MAX_ADVICE: Final = 3
_NEAREST: Final = 2
"""So much evidence comes before what is normal: a short report shows three lines."""
_TELLING: Final = 0.25
_MOSTLY: Final = 0.5
_LEFT_OUT: Final = frozenset({"also", "kernel_function", "suspended_in", "place", "one_place", "other_place"})
_OF_UNKNOWN: Final = frozenset({"needed", "threads", "kernel_function", "suspended_in", "fidelity"})
_SPLIT: Final = "Its requests are slow for different reasons: look at some of each, and mend the cause that is largest."
_OF_MOST: Final = frozenset({"holder", "awaits", "keeper", "kept_in", "kept_by", "permit", "queued_for"})
"""What the summary says of all of them."""
_MEASURED: Final = (
    *("waiting_threads", "others_cpus", "steal", "device_await_ms", "limit_hits", "major_faults_s"),
    *("rwnd_limited", "sndbuf_limited", "retransmits", "peer_rtt_ms", "overflows"),
    *("gil_held", "convoy", "gil_collected_ms", "gc_runs", "gc_longest_ms", "gc_collected", "gc_held_up"),
    *("cpu_own", "cpu_library", "cpu_stdlib", "cpu_native"),
    *("could_overlap_ms", "repeated", "opened", "handshakes", "transferred_bytes", "call_mean_ms", "first_byte_ms"),
    *("unread_ms", "failed_calls", "publishes", "worker_queue_ms"),
)
"""Numbers that tell why, of which the median of the requests stands for all."""


class Pool:
    """Sums over judged requests, and the latest of their verdicts; what was added can be removed again."""

    __slots__ = (
        "_latest",
        "booked_ns",
        "count",
        "looks",
        "other_ns",
        "readings",
        "spent_ns",
        "stacks",
        "suspended_ns",
        "total_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.other_ns = 0
        self.readings = 0
        self.suspended_ns = 0
        self.looks = NOBODY
        self.booked_ns = [0] * len(BUCKETS)
        self.spent_ns: dict[Mechanism, int] = {}
        self.stacks = StackSums()
        self._latest: OrderedDict[int, Verdict] = OrderedDict()

    def add(self, request_id: int, booked_ns: Sequence[int], judged: Judged) -> None:
        """Add a request."""
        self._sum(1, booked_ns, judged.balance)
        self.stacks.add(judged.stacks)
        self._latest[request_id] = judged.verdict
        if len(self._latest) > _VERDICTS:
            self._latest.popitem(last=False)

    def remove(self, request_id: int, booked_ns: Sequence[int], balance: Balance, stacks: Iterable[StackTime]) -> None:
        """Take a request back."""
        self._sum(-1, booked_ns, balance)
        self.stacks.remove(stacks)
        self._latest.pop(request_id, None)

    def retold(self, request_id: int, verdict: Verdict) -> None:
        """Put another verdict of a request in the place of its own, of the same mechanism."""
        if request_id in self._latest:
            self._latest[request_id] = verdict

    def __add__(self, other: Pool) -> Pool:
        both = Pool()
        for pool in (self, other):
            both._sum(1, pool.booked_ns, pool._sums())
            both._latest.update(pool._latest)
        both.count = self.count + other.count
        both.stacks = self.stacks + other.stacks
        return both

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The latest of the requests' own, newest last."""
        return tuple(self._latest.values())

    def frames(self, mechanism: Mechanism) -> tuple[FrameShare, ...]:
        """Return where in the code a mechanism spent its time, in all requests together; costs 1 us for each stack."""
        places = self.stacks.places(partial(is_of, mechanism))
        return frame_shares(places, mechanism, self.total_ns)

    def ledger(self) -> Ledger:
        """Return the mean ledger, with what is estimated of it."""
        booked_ns = list(self.booked_ns)
        for bucket, change_ns in self.looks.bookings():
            booked_ns[BUCKETS.index(bucket)] += change_ns
        return mean_ledger(self.total_ns, booked_ns, self.count)

    def balance(self) -> Balance:
        """Return the mean balance, with what is estimated of it; its readings are those of all requests together."""
        count, sums = max(self.count, 1), estimated(self._sums())
        spent = {name: spent_ns // count for name, spent_ns in sums.spent_ns.items() if spent_ns}
        return sums._replace(
            total_ns=self.total_ns // count,
            spent_ns=spent,
            other_ns=sums.other_ns // count,
            suspended_ns=self.suspended_ns // count,
        )

    def _sums(self) -> Balance:
        return Balance(
            self.total_ns,
            self.spent_ns,
            self.other_ns,
            self.readings,
            self.suspended_ns,
            self.looks,
        )

    def _sum(self, sign: int, booked_ns: Sequence[int], balance: Balance) -> None:
        self.count += sign
        self.total_ns += sign * balance.total_ns
        self.other_ns += sign * balance.other_ns
        self.readings += sign * balance.readings
        self.suspended_ns += sign * balance.suspended_ns
        if balance.looks is not NOBODY:
            self.looks = self.looks.plus(balance.looks, sign)
        self.booked_ns = [mine + sign * its for mine, its in zip(self.booked_ns, booked_ns, strict=True)]
        for mechanism, spent_ns in balance.spent_ns.items():
            self.spent_ns[mechanism] = self.spent_ns.get(mechanism, 0) + sign * spent_ns


def mean_ledger(total_ns: int, booked_ns: Sequence[int], count: int) -> Ledger:
    """Return the mean of `count` ledgers, given their sums; rounded down, so that it never books too much."""
    count = max(count, 1)
    return Ledger(total_ns // count, tuple(booked // count for booked in booked_ns))


class Pooled(NamedTuple):
    """A verdict on many requests, and where in the code its mechanism spent the time."""

    verdict: Verdict
    frames: tuple[FrameShare, ...]


def verdict_on(subject: str, pool: Pool, later: Later | None = None, normal: Normal | None = None) -> Pooled:
    """Judge the requests of a pool by their mean, against `normal` ones; `subject` opens the summary."""
    balance, count, verdicts = pool.balance(), pool.count, pool.verdicts
    weighing = weigh_against(balance, normal)
    if weighing.mechanism is None:
        evidence = (
            *compared(balance, normal, "the slow ones took"),
            *also(balance, None),
            *_pooled(verdicts, _OF_UNKNOWN),
        )
        doubts = [verdict for verdict in verdicts if verdict.mechanism is None]
        advice = _most_common_advice(doubts) if 2 * len(doubts) >= len(verdicts) else (_SPLIT,)
        summary = f"{subject}: {undecided(balance)}"
        unknown = Verdict("unknown", None, 0.0, 0.0, summary, evidence, advice, causes=causes(balance, None))
        return Pooled(unknown, ())
    agreeing = [verdict for verdict in verdicts if verdict.mechanism == weighing.mechanism]
    agreement = len(agreeing) / len(verdicts) if verdicts else 0.0
    spent_ns = balance.spent_ns[weighing.mechanism]
    frames = pool.frames(weighing.mechanism)
    where = places_told(frames, weighing.mechanism, spent_ns, balance.total_ns)
    told = _pooled(agreeing, None)
    added = Explanation((), ()) if later is None else later(weighing.mechanism, told)
    told = (*(one for one in told if one.name not in {new.name for new in added.evidence}), *added.evidence)
    blamed = [one for one in told if one.name in BLAMED]
    evidence = (*blamed, *where, *(one for one in told if one.name not in BLAMED))
    usual = f"{milliseconds(balance.total_ns):.1f} ms on average, over {counted(count, 'request')}"
    text = f"{weighing.mechanism} took {{}} of {usual}"
    chain = common_chain([verdict.chain for verdict in agreeing])
    why = because(weighing.mechanism, chain, evidence, is_many=True)
    kept = POLLED if any(one.name == "gc_source" for one in evidence) else 1.0
    verdict = Verdict(
        principle=PRINCIPLE_OF[weighing.mechanism],
        mechanism=weighing.mechanism,
        share=round(weighing.share, 4),
        confidence=round(sure(weighing.confidence * (0.5 + 0.5 * agreement), balance.readings) * kept, 3),
        summary=f"{subject}: {does(weighing.mechanism, weighing.share, evidence, why)}"
        + base_cost(balance, weighing.mechanism, normal),
        evidence=(
            amount(weighing.mechanism.replace("-", "_"), spent_ns, text),
            *evidence[:_NEAREST],
            *compared(balance, normal, "the slow ones took"),
            *evidence[_NEAREST:],
            *_estimated(spent_ns - pool.spent_ns.get(weighing.mechanism, 0) // count),
            *_medians(agreeing),
            *also(balance, weighing.mechanism),
        ),
        advice=_joined(added.advice, _most_common_advice(agreeing)),
        causes=causes(balance, weighing.mechanism),
        chain=chain,
    )
    return Pooled(verdict, frames)


def _estimated(spent_ns: int) -> Iterator[Evidence]:
    if spent_ns > 0:
        yield amount("estimated", spent_ns, "{} of it are estimated, from those of its tasks that were looked at")


def _joined(added: tuple[str, ...], usual: tuple[str, ...]) -> tuple[str, ...]:
    """Return advice with some of it put first; no more than three."""
    return tuple(dict.fromkeys((*added[:1], *usual)))[:_MAX_ADVICE] if added else usual


def _pooled(verdicts: Sequence[Verdict], names: frozenset[str] | None) -> tuple[Evidence, ...]:
    """Return the evidence that is a name (not a number) and that at least a quarter of the verdicts share."""
    values: dict[str, Counter[str]] = {}
    texts: dict[tuple[str, str], str] = {}
    for verdict in verdicts:
        for one in verdict.evidence:
            wanted = one.name not in _LEFT_OUT if names is None else one.name in names
            if wanted and isinstance(one.value, str):
                values.setdefault(one.name, Counter())[one.value] += 1
                texts[one.name, one.value] = one.text
    told: list[Evidence] = []
    for name, counter in values.items():
        value, count = counter.most_common(1)[0]
        if count >= (_MOSTLY if name in _OF_MOST else _TELLING) * len(verdicts):
            among = f" (the latest; so in {count} of {len(verdicts)})" if len(verdicts) > 1 else ""
            told.append(Evidence(name, value, texts[name, value] + among))
    return tuple(told)


def _medians(verdicts: Sequence[Verdict]) -> Iterator[Evidence]:
    """Yield the evidence of the request in the middle, of each number that at least a quarter of the verdicts tell."""
    told: dict[str, list[tuple[float, Evidence]]] = {name: [] for name in _MEASURED}
    for verdict in verdicts:
        for one in verdict.evidence:
            if one.name in told and isinstance(one.value, int | float):
                told[one.name].append((one.value, one))
    for name, each in told.items():
        if each and len(each) >= _TELLING * len(verdicts):
            value, middle = sorted(each, key=itemgetter(0))[(len(each) - 1) // 2]
            among = f" (median of {len(each)})" if len(each) > 1 else ""
            yield Evidence(name, value, middle.text + among)


def _most_common_advice(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    given = Counter(verdict.advice for verdict in verdicts)
    return given.most_common(1)[0][0] if given else ()
