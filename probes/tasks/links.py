"""Which tasks a task has begun and waits for, where it does not await them itself.

`gather` waits for a future that knows its children; `wait_for` (up to 3.11) and `wait` for one of their own, and have
the tasks in a local variable; task groups, asyncio's and AnyIO's, have a set of them, and are looked for also while the
body of their `async with` runs, under the names that they usually have. Cost: 30 us where there are some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.tasks.rules import Rules

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes
    from perfwatch.probes.cpython.awaiting import Chain
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
_GATHERED: Final = "_GatheringFuture"


class Links:
    """Finds the tasks that one Python's tasks wait for. Its methods raise Vanished, as `Memory` does."""

    def __init__(
        self, python: Python, kinds: Kinds, attributes: Attributes, variables: Variables, codes: Codes
    ) -> None:
        self._memory = python.memory
        self._set_bytes = python.layout["sz.set"]
        self._kinds = kinds
        self._attributes = attributes
        self._variables = variables
        self._rules = Rules(HOLDERS, codes, variables)

    def of(self, chain: Chain) -> tuple[int, ...]:
        """Return the addresses of the tasks that a chain waits for."""
        found = list(chain.tasks[1:])
        if chain.awaits == _GATHERED:
            found += self._gathered(chain.future)
        self._rules.renew()
        for (code, position), variables in zip(chain.stack[:MAX_FRAMES], chain.variables, strict=False):
            for holder in self._rules.of(code, position):
                found += self._held(holder, code, variables)
        return tuple(found[:MAX_LINKS])

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

    def _held(self, holder: Holder, code: int, variables: int) -> list[int]:
        held = self._variables.of(code, variables, holder.variable)
        if held and holder.group:
            is_group = self._kinds.name_of(held.value) == _GROUP
            held = self._attributes.of(held.value, _MEMBERS) if is_group else None
        return self._tasks(held.value) if held else []

    def _tasks(self, thing: int) -> list[int]:
        """Return a task, or those that a list or a set holds: what else it holds is no task that is listed."""
        kind = self._kinds.name_of(thing)
        if kind == "list":
            return self._attributes.containers.items(thing)
        if kind != "set":
            return [thing]
        head = self._memory.read(thing, self._set_bytes)
        return self._attributes.containers.members(head) if head else []
