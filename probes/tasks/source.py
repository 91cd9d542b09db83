"""The tasks of one process: a reading looks at all of them, and follows anew those that are not as they were."""

from __future__ import annotations

import time
from itertools import accumulate, count, islice, pairwise
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.attributes import Attributes
from perfwatch.probes.cpython.awaiting import Awaiting
from perfwatch.probes.cpython.chain import Chain, Fault
from perfwatch.probes.cpython.codes import Codes
from perfwatch.probes.cpython.kinds import Kinds
from perfwatch.probes.cpython.memory import Places
from perfwatch.probes.cpython.objects import POINTER, Objects
from perfwatch.probes.cpython.passing import BUDGET_NS
from perfwatch.probes.cpython.python import open_python
from perfwatch.probes.cpython.task_list import TaskList
from perfwatch.probes.cpython.variables import Variables
from perfwatch.probes.errors import Unavailable
from perfwatch.probes.frames import TasksSample
from perfwatch.probes.tasks.clients import Clients
from perfwatch.probes.tasks.links import Links
from perfwatch.probes.tasks.locks import RESTED_NS, TaskLocks
from perfwatch.probes.tasks.naming import Names
from perfwatch.probes.tasks.routes import Routes
from perfwatch.probes.tasks.serving import served
from perfwatch.probes.tasks.telling import Telling
from perfwatch.probes.tasks.used import Used
from perfwatch.probes.tasks.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.readers.interpreter import Interpreter

MAX_ASKED: Final = 64
"""In a reading."""
MAX_TOLD: Final = 1000
BATCH: Final = 8
"""So many tasks are followed together."""
GLANCED: Final = 32
"""So many are looked at together, whether they are as they were: about as many as one call takes."""
GLANCING_NS: Final = 3_000_000
"""So much CPU time is spent on that, some 200 tasks: of thousands some are told in one reading, others in the next."""
_LEFT_OUT_BYTES: Final = 4
"""Of what shows that a task is still not to be told: its state, or its type."""


class TaskSource:
    """Reads them. Opening it raises Vanished or Unavailable, its methods Vanished or Unavailable too."""

    def __init__(self, pid: int, interpreter: Interpreter) -> None:
        self._python = python = open_python(pid, interpreter)
        self.pid = pid
        self._layout, self._memory = python.layout, python.memory
        try:
            if python.layout.get("task.coro") is None:
                raise Unavailable(f"where Python {python.version} keeps its tasks is not known", "")  # noqa: TRY301
            kinds, attributes = Kinds(python), Attributes(python)
            variables = Variables(python, kinds, attributes)
            self._list = TaskList(python, kinds, attributes)
            self._awaiting = Awaiting(python, kinds)
            self._codes = codes = Codes(python)
            routes = Routes(python, kinds, attributes)
            objects = Objects(python.memory, python.layout)
            self._clients = Clients(routes, objects, variables, codes)
            self._used = Used(routes, variables, codes)
            self._links = Links(python, kinds, attributes, variables, codes)
            self._names = Names(python, kinds)
            self._locks = TaskLocks(python, kinds, variables, codes)
        except BaseException:
            python.close()
            raise
        self._watched: dict[int, Watched] = {}
        """By the weak reference that leads to it; those that were looked at longest ago first."""
        self._ids = count(1)
        self._turn = 0
        """The number of the reading: what was not looked at in it is not told."""

    def close(self) -> None:
        """Let go of the process; may be called again."""
        self._python.close()

    def read(self, now_ns: int, budget_ns: int) -> TasksSample | None:
        """Return what the tasks await; None where there are none. What changed is followed for so much CPU time."""
        references = self._list.references()
        if not references:
            self._watched.clear()
            return None
        listed = set(references)
        for gone in self._watched.keys() - listed:
            del self._watched[gone]
        for new in listed - self._watched.keys():
            self._watched[new] = Watched()
        self._turn += 1
        self._glance(time.thread_time_ns() + GLANCING_NS)
        until_ns = time.thread_time_ns() + budget_ns
        changed = iter([reference for reference, each in self._watched.items() if not each.glance.size])
        while (batch := list(islice(changed, BATCH))) and time.thread_time_ns() < until_ns:
            self._follow(batch)
        sample = self._sample(now_ns)
        self._look_for_locks()
        self._memory.check()
        return sample

    def _glance(self, until_ns: int) -> None:
        """Look which tasks are as they were, many by one call; those that are not reached come first next time."""
        known = iter([(reference, each) for reference, each in self._watched.items() if each.glance.size])
        while (batch := list(islice(known, GLANCED))) and time.thread_time_ns() < until_ns:
            for (reference, each), content in zip(batch, self._contents([each for _, each in batch]), strict=True):
                if each.is_same(content):
                    each.turn = self._turn
                    self._watched[reference] = self._watched.pop(reference)
                else:
                    each.forget()

    def _contents(self, watched: Sequence[Watched]) -> Sequence[bytes | None]:
        """Read what shows whether some tasks are as they were."""
        glances = [each.glance for each in watched]
        (data,) = self._memory.read_all([Places.joined(glances)])
        if data is None:  # of some not all can be read, or it is too much for one call
            return self._memory.read_all(glances)
        return [data[start:end] for start, end in pairwise(accumulate((each.size for each in glances), initial=0))]

    def _follow(self, references: Sequence[int]) -> None:
        """Look anew at some tasks."""
        tasks = self._list.tasks(references)
        for reference, task, found in zip(references, tasks, self._awaiting.follow(tasks), strict=True):
            # Those that are not reached within the budget come first next time.
            watched = self._watched[reference] = self._watched.pop(reference)
            leads = (reference + self._layout["weakref.object"], task.to_bytes(POINTER, "little"))
            if isinstance(found, Chain):
                self._know(watched, found, leads)
            elif found is not Fault.TORN:
                place = task + self._layout["task.state" if found is Fault.ENDED else "ob.type"]
                watched.leave_out([leads, (place, self._memory.read(place, _LEFT_OUT_BYTES) or b"")])
        # Whom a task serves was found while it ran on: it holds if the task is still where it was.
        known = [self._watched[reference] for reference in references if self._watched[reference].glance.size]
        for each, content in zip(known, self._contents(known), strict=True):
            if each.is_same(content):
                each.turn = self._turn
            else:
                each.forget()
                each.client = None

    def _know(self, watched: Watched, chain: Chain, leads: tuple[int, bytes]) -> None:
        """Take in the chain of a task; `leads` is what leads to it."""
        task, name = chain.tasks[0], self._names.of(chain.tasks[0])
        watched.identify(task, name.content, self._ids)
        if watched.client and not (watched.client.is_lasting and name.is_counted):
            watched.client = None
        if watched.client is None and watched.is_to_be_searched(time.monotonic_ns()):
            watched.client = self._clients.of(chain)
        watched.links = self._links.of(chain)
        watched.used = self._used.of(chain)
        evidence = [leads, *watched.links.evidence, *(watched.used.evidence if watched.used else ())]
        if name.content:
            evidence.append((name.place, name.content))
        if watched.client and not (watched.client.is_lasting and name.is_counted):
            evidence += watched.client.evidence
        watched.keep(chain, evidence)

    def _look_for_locks(self) -> None:
        """Ask those that have come to rest what they hold; it is told as soon as they were seen to rest on."""
        rested_ns = time.monotonic_ns() - RESTED_NS
        resting = (each for each in self._watched.values() if each.chain and each.locked is None)
        until_ns = time.thread_time_ns() + BUDGET_NS
        for each in islice((each for each in resting if each.rests_ns <= rested_ns), MAX_ASKED):
            if time.thread_time_ns() > until_ns:
                break
            each.locked = self._locks.of(each.chain, each.rests_ns, until_ns) if each.chain else None

    def _sample(self, now_ns: int) -> TasksSample:
        living = [each for each in self._watched.values() if not each.is_left_out]
        known = [each for each in living if each.chain and each.turn == self._turn]
        clients, telling = served(known), Telling(self._codes, known)
        known.sort(key=lambda each: (each.id not in clients, each.id))
        tasks = tuple(task for each in known[:MAX_TOLD] if (task := telling.task(each, clients.get(each.id))))
        return TasksSample(now_ns, self.pid, len(living), telling.table(), tasks)
