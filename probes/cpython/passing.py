"""Which locks the frames of a thread, or a task, have taken by `acquire()`, and which they may have given back.

The instructions say it by names (acquired.py), the frame says what those mean (named.py). Both are kept for a second.
Cost: 1 us a frame of a function that has to do with no lock, 100 us if it is new; 50 us a frame of others, 300 us if it
is new; 150 ms for the longest that is looked into, if an adversary made it: so whoever asks stops when it was too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.acquired import UNKNOWN, WORDS, Acquired, Passed
from perfwatch.probes.cpython.attributes import Attributes
from perfwatch.probes.cpython.body import Body
from perfwatch.probes.cpython.entered import BOUND
from perfwatch.probes.cpython.kept import Kept
from perfwatch.probes.cpython.named import Named, Scope
from perfwatch.probes.cpython.objects import Objects

if TYPE_CHECKING:
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_FUNCTIONS: Final = 256
"""So many are kept; of what is asked within the budget, a few have long code."""
BUDGET_NS: Final = 50_000_000
"""For so much CPU time a thread's frames, or some tasks', are looked at."""
ANY: Final = 0
"""Stands among locks that were given back for all of them."""


class _Function(NamedTuple):
    body: Body
    acquired: Acquired | None
    """None: it has to do with no lock, or is not understood."""
    is_understood: bool


class Passing:
    """Tells it of locks of some types; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, locks: frozenset[str]) -> None:
        self._python = python
        self._memory = python.memory
        self._layout = python.layout
        self._kinds = kinds
        self._locks = locks
        self._objects = Objects(python.memory, python.layout)
        self.named = Named(python, kinds, Attributes(python))
        self._functions = Kept(self._function, MAX_FUNCTIONS)

    def by(self, scope: Scope, offset: int, lost: set[int], *, awaited: bool = False) -> list[int]:
        """Return the locks that a frame has taken by `acquire()`, or `await acquire()`, where it stands.

        To `lost` is added what it may have given back: that is not held, nor by the frames further out.
        """
        passed = self._passed(scope, offset)
        lost.update(self._lock(scope, name, "release") or ANY for name in passed.given)
        taken = (self._lock(scope, name, "acquire") for name in (passed.awaited if awaited else passed.taken))
        return [lock for lock in taken if lock]

    def called(self, scope: Scope, offset: int) -> int | None:
        """Return the lock of which a frame calls a method where it stands, if that can be told."""
        owner, _, method = (self._functions.of(scope.code).body.called(offset) or "").rpartition(".")
        return self._lock(scope, owner, method) if owner else None

    def _lock(self, scope: Scope, name: str, method: str) -> int | None:
        """Return the lock that a name means; a `Condition` has the methods of its lock as attributes."""
        thing = self.named.of(scope, name) if name != UNKNOWN else None
        if not thing or self._kinds.name_of(thing) in self._locks:
            return thing
        bound = self.named.attribute(thing, method)
        field = BOUND.get(self._kinds.name_of(bound)) if bound else None
        lock = self._memory.word(bound + self._layout[field]) if bound and field else None
        return lock if lock and self._kinds.name_of(lock) in self._locks else None

    def _passed(self, scope: Scope, offset: int) -> Passed:
        function = self._functions.of(scope.code)
        place = function.body.place(offset) if function.acquired else None
        if function.acquired and place is not None:
            return function.acquired.at(place)
        return Passed() if function.is_understood else Passed(given=(UNKNOWN,))

    def _function(self, code: int) -> _Function:
        body = Body(self._python, self._objects, code)
        names = body.names("co.names")
        if all(name is not None and not any(word in name for word in WORDS) for name in names):
            return _Function(body, None, is_understood=True)
        flow = body.flow
        return _Function(body, Acquired(body.minor, body.instructions, flow, body) if flow else None, bool(flow))
