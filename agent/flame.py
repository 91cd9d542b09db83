"""A flame graph's data: time by stack as a tree of blocks, for all reasons or some; pure.

On one path from the root a function stands once, at the line that most of its time went through. A wait ends in a block
of its reason; time on a CPU is the function's own. Of very many stacks the smallest are told as one block.
"""

from __future__ import annotations

from collections import Counter
from heapq import nlargest
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from perfwatch.agent.correlator.places import kind_of, module_of
from perfwatch.agent.correlator.wording import file_name
from perfwatch.agent.model import Mechanism  # noqa: TC001 - msgspec reads the annotations
from perfwatch.agent.trees.reasons import RAN, UNKNOWN, Reason, meaning, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from perfwatch.agent.model import Frame, StackTime

Kind: TypeAlias = Literal["whole", "own", "library", "reason", "untold"]
"""`untold`: what is known of no code, or too small to be told."""
MAX_STACKS: Final = 512
_MAX_DEPTH: Final = 200
_FOLDED_FROM: Final = 3
"""So many functions of libraries that only call one another make one block."""


class Block(msgspec.Struct, frozen=True):
    """A function on a path from the root, or the reason why time was spent in one."""

    name: str
    """Untrusted, as the place is."""
    place: str
    """`orders.py:41`, or what a reason means."""
    key: str
    """Tells it from its siblings."""
    kind: Kind
    spent_on: tuple[tuple[Reason, int], ...]
    """Time here and in what it called, by reason, the largest first."""
    self_ns: int
    """On a CPU, in none of the blocks below."""
    blocks: tuple[Block, ...] = ()
    """The largest first."""
    folded: int = 1
    """So many functions it stands for."""

    @property
    def spent_ns(self) -> int:
        """Here and below."""
        return sum(ns for _, ns in self.spent_on)

    @property
    def reason(self) -> Reason:
        """What most of its time was spent on."""
        return self.spent_on[0][0] if self.spent_on else "other"


class Choice(msgspec.Struct, frozen=True):
    """Some of the reasons, to look at alone."""

    name: str
    spent_ns: int
    causes: frozenset[Reason | Mechanism] | None
    """None: all."""


def cause_of(stack: StackTime) -> Reason | Mechanism:
    """Return what time was spent on: its mechanism where the bucket has several, else the bucket."""
    return stack.mechanism or reason_of(stack)


def choices_of(stacks: Iterable[StackTime]) -> tuple[Choice, ...]:
    """Return what can be looked at alone: all, what ran, what waited, then each cause, the largest first."""
    spent: Counter[Reason | Mechanism] = Counter()
    for stack in stacks:
        spent[cause_of(stack)] += stack.spent_ns
    ran = frozenset(cause for cause in spent if cause in RAN)
    groups = [("on-CPU", ran), ("off-CPU", frozenset(spent) - ran)]
    groups += [(cause.replace("_", " "), frozenset({cause})) for cause, _ in spent.most_common() if cause != "on_cpu"]
    some = (Choice(name, sum(spent[one] for one in causes), causes) for name, causes in groups)
    return (Choice("all", spent.total(), None), *(one for one in some if one.spent_ns > 0))


def flame_of(stacks: Sequence[StackTime], choice: Choice | None = None, *, is_folded: bool = True) -> Block:
    """Return the whole, its blocks below it; costs up to 100 us for each of the 512 largest stacks."""
    wanted = None if choice is None else choice.causes
    meant = [one for one in stacks if one.spent_ns > 0 and (wanted is None or cause_of(one) in wanted)]
    told = meant if len(meant) <= MAX_STACKS else nlargest(MAX_STACKS, meant, key=lambda one: one.spent_ns)
    root = _Node("all", "whole")
    for stack in told:
        root.add(stack)
    if len(meant) > len(told):
        known = set(map(id, told))
        small = [one for one in meant if id(one) not in known]
        for stack in small:
            root.add_untold(stack, f"[{len(small)} stacks too small to be told]")
    return root.block("", is_folded=is_folded)


class _Node:
    """A block while it grows."""

    __slots__ = ("calls", "file", "kind", "lines", "module", "name", "own_ns", "spent")

    def __init__(self, name: str, kind: Kind, file: str = "", module: str = "") -> None:
        self.name, self.kind, self.file, self.module = name, kind, file, module
        self.lines: Counter[int] = Counter()
        self.spent: Counter[Reason] = Counter()
        self.own_ns = 0
        self.calls: dict[tuple[str, str], _Node] = {}

    def add(self, stack: StackTime) -> None:
        """Take the time of a stack."""
        if not stack.frames and stack.bucket != "queue":
            self.add_untold(stack, UNKNOWN)
            return
        reason, ns, node = reason_of(stack), stack.spent_ns, self
        node.spent[reason] += ns
        for frame in reversed(stack.frames[:_MAX_DEPTH]):
            node = node.called(frame)
            node.lines[frame.line] += ns
            node.spent[reason] += ns
        node.end(reason, ns)

    def add_untold(self, stack: StackTime, name: str) -> None:
        """Take the time of a stack without its code."""
        reason, ns = reason_of(stack), stack.spent_ns
        self.spent[reason] += ns
        node = self.calls.setdefault((name, ""), _Node(name, "untold"))
        node.spent[reason] += ns
        node.end(reason, ns)

    def called(self, frame: Frame) -> _Node:
        """Return the function that it called, a new one if need be."""
        key = (frame.function, frame.file)
        known = self.calls.get(key)
        if known is None:
            kind: Kind = "own" if kind_of(frame) == "own" else "library"
            known = self.calls[key] = _Node(frame.function, kind, frame.file, module_of(frame).partition(".")[0])
        return known

    def end(self, reason: Reason, ns: int) -> None:
        """Take time that ended here."""
        if reason == "on_cpu":
            self.own_ns += ns
            return
        leaf = self.calls.setdefault((f"[{reason}]", ""), _Node(reason, "reason"))
        leaf.spent[reason] += ns

    def block(self, key: str, *, is_folded: bool) -> Block:
        """Return it as it is now; of libraries' functions that only call one another, one block."""
        chain = list(self._chain()) if is_folded else [self]
        is_one = len(chain) >= _FOLDED_FROM
        last = chain[-1] if is_one else self
        below = sorted(last.calls.items(), key=lambda call: -call[1].spent.total())
        return Block(
            name=_named(chain) if is_one else self.name,
            place=f"{self.name} … {last.name}" if is_one else self._place(),
            key=key,
            kind=self.kind,
            spent_on=tuple(self.spent.most_common()),
            self_ns=last.own_ns,
            blocks=tuple(node.block("\t".join(name), is_folded=is_folded) for name, node in below),
            folded=len(chain) if is_one else 1,
        )

    def _chain(self) -> Iterator[_Node]:
        node = self
        yield node
        while node.kind == "library" and len(node.calls) == 1 and not node.own_ns:
            (node,) = node.calls.values()
            if node.kind != "library":
                return
            yield node

    def _place(self) -> str:
        if self.kind == "reason":
            return meaning(next(iter(self.spent)))
        if not self.file:
            return ""
        line = max(self.lines, key=lambda line: (self.lines[line], -line), default=0)
        return f"{file_name(self.file)}:{line}" if line > 0 else file_name(self.file)


def _named(chain: Sequence[_Node]) -> str:
    modules = dict.fromkeys(node.module for node in chain if node.module)
    return f"{len(chain)} of {', '.join(modules) or 'libraries'}"
