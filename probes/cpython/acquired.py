"""Which locks a function has taken by `acquire()` alone where it stands, and which it may have given back. Pure.

`X.acquire()` leaves no trace in a frame; the instructions tell. X is taken where each way that leads there, exceptions
included, comes through `X.acquire()` without arguments, which waits until it has the lock, and from then on through no
`X.release()` and nothing that gives X, or a part of its name, another meaning. And the function must be on its way to
`X.release()`, not to another `X.acquire()`: a lock that somebody else gives back is no lock, but a signal. What is
awaited, is passed when the await is over.

What may have been given back is told generously: each `X.release()` on some way there with no `X.acquire()` behind it,
and as unknown whatever else has "release" or "unlock" in its name, `Condition.wait` with its `_release_save` too. Only
a function that has given a lock back for its caller, and whose name does not say so, goes unnoticed. X is a name; what
it means is told by `Named`. Cost: 4 us an instruction, in the worst case 40; 1 us an instruction for each answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.calls import called, loaded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.probes.cpython.bytecode import Instruction
    from perfwatch.probes.cpython.calls import Names
    from perfwatch.probes.cpython.flow import Flow

MAX_CALLS: Final = 32
"""Of `acquire` and `release`, in a function; of one with more everything may have been given back."""
UNKNOWN: Final = ""
"""Name of what may be any lock."""
WORDS: Final = ("acquire", "release", "unlock")
_ACQUIRE, _RELEASE = ".acquire", ".release"
_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_CALL: Final = frozenset({"CALL", "CALL_METHOD", "CALL_FUNCTION"})
_BEFORE_CALL: Final = frozenset({"PRECALL", "PUSH_NULL"})
_AWAIT_INSTRUCTIONS: Final = 4
_TWO_STORED, _FIRST_STORED = "STORE_FAST_STORE_FAST", "STORE_FAST_LOAD_FAST"
_STORES: Final = ("STORE_", "DELETE_", "LOAD_FAST_AND_CLEAR")


class Passed(NamedTuple):
    """Names of locks, as the function writes them: `self._lock`."""

    taken: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    """May have been given back, whoever took them; may hold `UNKNOWN`."""
    awaited: tuple[str, ...] = ()
    """Those taken by `await X.acquire()`, wherever they are."""


class Acquired:
    """Tells it of one function."""

    def __init__(self, minor: tuple[int, int], code: Sequence[Instruction], flow: Flow, names: Names) -> None:
        self._minor = minor
        self._code = code
        self._flow = flow
        self._names = names
        self._takes: dict[str, set[int]] = {}
        self._gives: dict[str, set[int]] = {}
        self._unawaited: set[str] = set()
        self._find()
        self._stores = list(self._stored()) if self._takes else []

    def at(self, place: int) -> Passed:
        """Return what was passed where the instruction at a place is being executed, itself not."""
        taken = tuple(name for name in self._takes if self._is_taken(name, place))
        given = tuple(name for name in self._gives if self._may_be_given(name, place))
        return Passed(taken, given, tuple(name for name in taken if name not in self._unawaited))

    def _find(self) -> None:
        """Find where what is taken, and where what is given back."""
        count = 0
        for place, each in enumerate(self._code):
            word = loaded(self._minor, each, self._names)
            if word is None and each.name not in _ATTRIBUTE:
                continue
            if word == "acquire" or word is None or any(part in word for part in WORDS[1:]):
                count += 1
                self._note(place, word or UNKNOWN)
            if count > MAX_CALLS:
                self._takes, self._gives = {}, {UNKNOWN: {0}}
                break

    def _note(self, place: int, word: str) -> None:
        call = self._call(place)
        name = called(self._minor, self._code, call, self._names) if call is not None else None
        if call is not None and name and not name.startswith(".") and name.endswith((_ACQUIRE, _RELEASE)):
            owner = name.rpartition(".")[0]
            if word != _ACQUIRE[1:]:
                self._gives.setdefault(owner, set()).add(call)
                return
            end = self._end_of_await(call + 1)
            self._takes.setdefault(owner, set()).add(call if end is None else end)
            if end is None:
                self._unawaited.add(owner)
        elif word != _ACQUIRE[1:]:
            self._gives.setdefault(UNKNOWN, set()).add(place)

    def _call(self, place: int) -> int | None:
        """Return the place of the call without arguments of what is loaded at a place."""
        following = place + 1
        while following < len(self._code) and self._code[following].name in _BEFORE_CALL:
            following += 1
        call = self._code[following] if following < len(self._code) else None
        return following if call and call.name in _CALL and not call.argument else None

    def _end_of_await(self, place: int) -> int | None:
        """Return the place of the instruction behind which an await that begins at a place is over; None: none does."""
        if place >= len(self._code) or self._code[place].name != "GET_AWAITABLE":
            return None
        for at in range(place, min(place + _AWAIT_INSTRUCTIONS, len(self._code))):
            if self._code[at].name == "YIELD_FROM":
                return at
            if self._code[at].name == "SEND":
                return max(self._flow.onward[at])
        return None

    def _may_be_given(self, name: str, place: int) -> bool:
        since, _ = self._flow.since(place, self._takes.get(name, ()))
        return not self._gives[name].isdisjoint(since)

    def _is_taken(self, name: str, place: int) -> bool:
        takes, gives = self._takes[name], self._gives.get(name, set())
        since, is_gone_around = self._flow.since(place, takes)
        if is_gone_around or not since.isdisjoint(gives | self._renamed(name)):
            return False
        if not takes.isdisjoint(self._flow.ahead(place, gives, raising=False)):
            return False
        return not gives.isdisjoint(self._flow.ahead(place, (), raising=True))

    def _renamed(self, name: str) -> set[int]:
        """Return the places at which a name may come to mean something else."""
        variable, *attributes = name.split(".")
        return {at for at, own, is_attribute in self._stores if own in (attributes if is_attribute else [variable])}

    def _stored(self) -> Iterator[tuple[int, str | None, bool]]:
        """Yield where which name is stored or deleted, and whether that is an attribute's."""
        for place, each in enumerate(self._code):
            kind, number = each.name, each.argument
            if not kind.startswith(_STORES):
                continue
            if kind in {_TWO_STORED, _FIRST_STORED}:
                yield place, self._names.of_local(number >> 4, cell=False), False
                if kind == _TWO_STORED:
                    yield place, self._names.of_local(number & 15, cell=False), False
            elif kind.endswith(("_FAST", "_DEREF", "_CLEAR")):
                yield place, self._names.of_local(number, cell="DEREF" in kind), False
            elif kind.endswith(("_NAME", "_GLOBAL", "_ATTR")):
                yield place, self._names.of_global(number), kind.endswith("_ATTR")
