"""Which tasks a task has begun and waits for, where it does not await them itself.

`gather` waits for a future that knows its children; `wait_for` (up to 3.11) and `wait` for one of their own, and have
the tasks in a local variable; task groups, asyncio's and AnyIO's, have a set of them, and are looked for also while the
body of their `async with` runs, under the names that they usually have. A group lets go of a task that has ended, and
another may come to lie there: how many it has is remembered. Cost: 30 us where there are some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import POINTER
from perfwatch.probes.tasks.rules import Rules

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes
    from perfwatch.probes.cpython.chain import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python
    from perfwatch.probes.cpython.variables import Variables

MAX_LINKS: Final = 1024
MAX_FRAMES: Final = 64
MAX_GATHERS: Final = 16


class Holder(NamedTuple):
    """A local variable that leads to tasks which its function waits for."""

    function: str
    """Its bare name; empty: any."""
    file: str
    """What the name of its file ends with."""
    variable: str
    group: bool = False
    """It holds a task group, else a task, or a list or set of such."""


HOLDERS: Final = (
    Holder("wait_for", "asyncio/tasks.py", "fut"),
    Holder("_wait", "asyncio/tasks.py", "fs"),
    Holder("__aexit__", "asyncio/taskgroups.py", "self", group=True),
    Holder("_aexit", "asyncio/taskgroups.py", "self", group=True),
    Holder("__aexit__", "anyio/_backends/_asyncio.py", "self", group=True),
    Holder("", "", "task_group", group=True),
    Holder("", "", "group", group=True),
    Holder("", "", "tg", group=True),
)
_GROUP, _MEMBERS = "TaskGroup", "_tasks"
_COUNTS_BYTES: Final = 2 * POINTER
"""Of a set: how many slots of its table are in use, and how many of them hold something."""
_GATHERED: Final = "_GatheringFuture"


class Linked(NamedTuple):
    """What a task waits for."""

    tasks: tuple[int, ...]
    """Addresses."""
    next: int
    """The one task that it waits for by the innermost of its coroutines, which does nothing else; 0: there is none."""
    evidence: tuple[tuple[int, bytes], ...]
    """What shows that it is still so: places, and what lay there."""


NOTHING: Final = Linked((), 0, ())


class Links:
    """Finds the tasks that one Python's tasks wait for. Its methods raise Vanished, as `Memory` does."""

    def __init__(
        self, python: Python, kinds: Kinds, attributes: Attributes, variables: Variables, codes: Codes
    ) -> None:
        self._memory = python.memory
        self._set_bytes = python.layout["sz.set"]
        self._set_counts = python.layout["set.fill"]
        self._kinds = kinds
        self._attributes = attributes
        self._variables = variables
        self._rules = Rules(HOLDERS, codes, variables)

    def of(self, chain: Chain) -> Linked:
        """Return the tasks that a chain waits for."""
        evidence: list[tuple[int, bytes]] = []
        inner = self._gathered(chain.future) if chain.awaits == _GATHERED else []
        outer: list[int] = list(chain.tasks[1:])
        self._rules.renew()
        frames = zip(chain.stack[:MAX_FRAMES], chain.variables, strict=False)
        for number, ((code, position), variables) in enumerate(frames):
            for holder in self._rules.of(code, position):
                held = self._held(holder, code, variables, evidence)
                (inner if number == 0 and not holder.group else outer).extend(held)
        if not inner and not outer:
            return NOTHING
        only = inner[0] if len(inner) == 1 and inner[0] not in chain.tasks else 0
        return Linked((*inner, *outer)[:MAX_LINKS], only, tuple(evidence))

    def _gathered(self, future: int) -> list[int]:
        """Return what the future of a `gather` gathers; also by a `gather` in its turn."""
        found: list[int] = []
        going = [future]
        for _ in range(MAX_GATHERS):
            if not going or len(found) > MAX_LINKS:
                break
            children = self._attributes.of(going.pop(), "_children")
            gathered = self._tasks(children.value) if children else []
            for child, kind in zip(gathered, self._kinds.names_of(gathered), strict=True):
                (going if kind == _GATHERED else found).append(child)
        return found

    def _held(self, holder: Holder, code: int, variables: int, evidence: list[tuple[int, bytes]]) -> list[int]:
        held = self._variables.of(code, variables, holder.variable)
        if not held or not holder.group:
            return self._tasks(held.value) if held else []
        is_group = self._kinds.name_of(held.value) == _GROUP
        members = self._attributes.of(held.value, _MEMBERS) if is_group else None
        if members is None:
            return []
        place = members.value + self._set_counts
        counts = self._memory.read(place, _COUNTS_BYTES)
        evidence += [(members.place, members.value.to_bytes(POINTER, "little")), (place, counts or b"")]
        return self._tasks(members.value)

    def _tasks(self, thing: int) -> list[int]:
        """Return a task, or those that a list or a set holds: what else it holds is no task that is listed."""
        kind = self._kinds.name_of(thing)
        if kind == "list":
            return self._attributes.containers.items(thing)
        if kind != "set":
            return [thing]
        head = self._memory.read(thing, self._set_bytes)
        containers = self._attributes.containers
        return containers.members(containers.table(head)) if head else []
