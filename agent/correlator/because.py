"""The words for a chain of blame: `, because it waited for postgresql 10.0.0.5:5432`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from perfwatch.agent.correlator.wording import at, cut, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model import Cause, Evidence, Link, Mechanism


class Linked(Protocol):
    """A link of a chain, in whatever form."""

    @property
    def kind(self) -> str:
        """What it is."""


_DID: Final[dict[Mechanism, str]] = {
    "cpu": "computed",
    "gc": "collected garbage",
    "sleep": "slept",
    "chatty": "made many calls{to}",
    "connect": "opened connections{to}",
    "tls": "made TLS handshakes{to}",
    "transfer": "moved data{to}",
    "gil": "waited for the GIL{by}",
    "lock": "waited for a lock{by}",
    "event-loop": "waited for its event loop{kept}",
    "pool": "waited for a pooled connection or permit{by}",
    "queue": "waited for a free worker{of}",
    "run-queue": "waited for a CPU{had}",
    "throttle": "waited for its CPU quota",
    "disk": "waited for the disk",
    "memory": "waited for memory",
    "network": "waited for its client",
    "dependency": "waited for {whom}",
}
_DOES: Final[dict[str, str]] = {
    "computed": "computes",
    "collected": "collects",
    "slept": "sleeps",
    "made": "makes",
    "opened": "opens",
    "moved": "moves",
    "waited": "waits",
}
"""Of many requests it is said as what they do."""
_HELD: Final[dict[Mechanism, str]] = {"lock": "held", "gil": "held", "event-loop": "kept", "pool": "held"}
_NAMED: Final = frozenset({"holder", "keeper"})
"""Evidence of whom the sentence of a verdict names."""
_MAX_STEPS: Final = 3
_MAX_NAME: Final = 60


def because(
    mechanism: Mechanism,
    chain: Sequence[Link],
    evidence: Sequence[Evidence],
    *,
    is_many: bool = False,
) -> str:
    """Return the words that follow the sentence of a verdict; none where the chain says no more than that.

    The sentence is made of the evidence: it may name who held it, or what the callee waited for, too.
    """
    known = {one.name for one in evidence}
    names_holder, names_callee = bool(known & _NAMED), "callee" in known
    if names_callee:
        chain = chain[1:]
    if not chain:
        return ""
    first = chain[0]
    if mechanism == "run-queue":
        return f", while {who(first)} {'has' if is_many else 'had'} it"
    if first.mechanism is None:
        held = _HELD.get(mechanism)
        return "" if names_holder or held is None else f", {held} by {_named(first)}"
    subject = "it" if names_holder and not names_callee else _named(first)
    return f", because {subject} " + ", which ".join(_steps(chain, is_many=is_many))


def who(link: Link) -> str:
    """Name a link as a person would: `POST /order`, `refresher (tid 4321)`."""
    return cut(link.name, _MAX_NAME)


def chain_lines(chain: Sequence[Link]) -> list[str]:
    """Return a chain as an indented list, one line for each link; nothing where a sentence names that peer already."""
    if is_told(chain):
        return []
    return [f"{'  ' * depth}{link_text(link)}" for depth, link in enumerate(chain)]


def is_told(chain: Sequence[Linked]) -> bool:
    """Whether the sentence of a verdict says all that its chain does."""
    return len(chain) == 0 or (len(chain) == 1 and chain[0].kind == "peer")


def link_text(link: Link) -> str:
    """Say who it was, where, what it did, and how much of the latency that was."""
    did = "" if link.mechanism is None else f": {_did(link.mechanism, None)}"
    part = f" ({percent(link.share)})" if link.share > 0 else ""
    return f"{link.kind} {_named(link)}{did}{part}"


def also(causes: Sequence[Cause], own: Mechanism | None) -> str:
    """Say what else explains a notable part of the latency: `run-queue 14 %, cpu 5 %`; nothing where nothing does."""
    return ", ".join(f"{one.mechanism} {percent(one.share)}" for one in causes if one.mechanism != own)


def facts(evidence: Iterable[Evidence], limit: int) -> list[Evidence]:
    """Return the first facts, without those that `also` says."""
    return [one for one in evidence if one.name != "also"][:limit]


def ring(members: Sequence[Link]) -> str:
    """Say who waits for whom: `deadlock: A waits for B, which waits for A`."""
    if len(members) == 1:
        return f"deadlock: {_named(members[0])} waits for a lock that it holds itself"
    names = [_named(one) for one in members[:_MAX_STEPS]]
    more = [f"{len(members) - _MAX_STEPS} more"] if len(members) > _MAX_STEPS else []
    first, *others = [*names, *more, who(members[0])]
    return f"deadlock: {first} waits for {', which waits for '.join(others)}"


def _steps(chain: Sequence[Link], *, is_many: bool) -> Iterator[str]:
    known = [number for number, link in enumerate(chain) if link.mechanism is not None]
    told = known if len(known) <= _MAX_STEPS else [*known[: _MAX_STEPS - 1], known[-1]]
    for number in told:
        mechanism = chain[number].mechanism
        if mechanism is not None:
            following = chain[number + 1] if number + 1 < len(chain) else None
            did = _did(mechanism, following)
            verb, _, rest = did.partition(" ")
            did = f"{_DOES.get(verb, verb)} {rest}".rstrip() if is_many else did
            yield f"in the end {did}" if number == told[-1] and len(known) > _MAX_STEPS else did


def _did(mechanism: Mechanism, following: Link | None) -> str:
    """Say what somebody did, and for whom it waited then."""
    named = None if following is None else _named(following)
    return _DID[mechanism].format(
        to=f" to {named}" if named else "",
        by=f" held by {named}" if named else "",
        kept=f", kept by {named}" if named else "",
        of=f", kept by {named}" if named else "",
        had=f" that {named} had" if named else "",
        whom=named or "another process",
    )


def _named(link: Link) -> str:
    """Name a link, by its place in the code too, where that is known."""
    where = "" if link.frame is None else f" in {at(link.frame.function, link.frame.file, link.frame.line)}"
    return f"{who(link)}{where}"
