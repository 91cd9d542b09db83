"""Follows tasks into what they await: coroutines, generators, other tasks, down to the future that all wait for.

A task resumes the outermost coroutine, which resumes what it awaits: so as long as the innermost rests, all rest. What
was read of them one after the other may be of several moments: it holds if all of it is read once more, by one call,
and is the same. That is left to whoever follows them, for what else belongs to them is read in between. Chains are
followed together, step by step, one or two calls a step. Cost: 4 us a frame, and 10 us a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.chain import MAX_FRAMES, Chain, Fault, Path
from perfwatch.probes.cpython.coroutine_form import CoroutineForm, Standing
from perfwatch.probes.cpython.kept import Kept
from perfwatch.probes.cpython.memory import Places
from perfwatch.probes.cpython.objects import POINTER, integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_STEPS: Final = 2 * MAX_FRAMES
"""Between two coroutines there can be an awaitable that is none."""
_RUNS: Final = frozenset({"coroutine", "generator", "async_generator"})
_LEADS: Final = {
    "coroutine_wrapper": "wrapper.coro",
    "async_generator_asend": "asend.coro",
    "async_generator_athrow": "athrow.coro",
    "anext_awaitable": "anext.wrapped",
}
_ITERATOR: Final = "_asyncio.FutureIter"
_LEAD_BYTES: Final = 3 * POINTER
_PENDING: Final = 0
_ENDED: Final = (1, 2)
"""Cancelled, finished."""
_INT: Final = 4
_REACH_BYTES: Final = 24 * POINTER
"""Of a frame's variables and values so much is read with it: what it awaits is the last of them."""
_INSTRUCTION_BYTES: Final = 2


class Awaiting:
    """The coroutines of one Python. Its methods raise Vanished or Unavailable, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds) -> None:
        self._memory = python.memory
        self._kinds = kinds
        self._layout = layout = python.layout
        self._form = CoroutineForm(layout)
        self._type = layout["ob.type"]
        self._task_bytes = layout["sz.task"]
        self._code_start = layout.get("co.code")
        self._bytes_data = layout["bytes.data"]
        # Up to 3.10 a coroutine itself is short, and its frame lies elsewhere.
        self._head_bytes = self._form.head_bytes + (0 if self._form.is_apart else _REACH_BYTES)
        self._awaiting = Kept(self._is_await)
        self._unit_bytes = 2 if layout.minor >= (3, 10) else 1

    def follow(self, tasks: Sequence[int]) -> list[Chain | Fault]:
        """Return the chain of each task."""
        paths = [Path() for _ in tasks]
        for path, task, data in zip(paths, tasks, self._whole(tasks, self._task_bytes), strict=True):
            if not data or not self._enter(path, task, data):
                path.fault = self._why_not(data) if data else Fault.TORN
        for _ in range(MAX_STEPS):
            going = [path for path in paths if path.next and not path.fault]
            if not going:
                break
            self._step(going)
        for path in paths:
            self._settle(path)
        return [path.chain() for path in paths]

    def _why_not(self, task: bytes) -> Fault:
        if not self._kinds.is_task(integer(task, self._type)):
            return Fault.FOREIGN
        return Fault.ENDED if integer(task, self._layout["task.state"], _INT) in _ENDED else Fault.TORN

    def _whole(self, addresses: Sequence[int], size: int) -> list[bytes | None]:
        """Read so much at each address, by one call if all of it can be read."""
        (data,) = self._memory.read_all([Places([(address, size) for address in addresses])])
        if data is None:
            return self._memory.read_each([(address, size) for address in addresses])
        return [data[at : at + size] for at in range(0, len(data), size)]

    def _enter(self, path: Path, task: int, data: bytes) -> bool:
        """Go on with the coroutine of a task; whether it is one that has not ended."""
        layout = self._layout
        is_task = self._kinds.is_task(integer(data, self._type))
        if not is_task or integer(data, layout["task.state"], _INT) != _PENDING or task in path.tasks:
            return False
        path.own = path.own or len(path.frames)
        path.tasks.append(task)
        path.pieces.append((task, data))
        path.next = integer(data, layout["task.coro"])
        path.waits_for = integer(data, layout["task.waits_for"])
        return True

    def _step(self, paths: Sequence[Path]) -> None:
        """Look at the next awaitable of each path."""
        form, name_of = self._form, self._kinds.name
        apart: list[tuple[Path, int, int]] = []
        for path, read in zip(paths, self._whole([path.next for path in paths], self._head_bytes), strict=True):
            address, path.next = path.next, 0
            head = read or self._memory.read(address, form.head_bytes) or self._memory.read(address, _LEAD_BYTES)
            name = name_of(integer(head, self._type)) if head else ""
            if head is None:
                path.fault = Fault.TORN
            elif name not in _RUNS:
                self._lead(path, address, name, head[:_LEAD_BYTES])
            elif form.is_apart:
                path.pieces.append((address, head))
                apart.append((path, address, form.frame(head)))
            else:
                self._stand(path, address, head, form.within(address, head) if len(head) >= form.head_bytes else None)
        if apart:
            frames = self._whole([frame for _, _, frame in apart], form.frame_bytes + _REACH_BYTES)
            for (path, coroutine, frame), read in zip(apart, frames, strict=True):
                copy = read or self._memory.read(frame, form.frame_bytes)
                self._stand(path, frame, copy or b"", form.apart(coroutine, frame, copy) if copy else None)

    def _stand(self, path: Path, base: int, copy: bytes, standing: Standing | None) -> None:
        """Take in where a coroutine stands, and go on with what it awaits; `copy` is of its frame, from `base` on."""
        if standing is None or len(path.frames) >= MAX_FRAMES:
            path.fault = Fault.TORN
            return
        path.frames.append(standing)
        if not standing.awaited or not (standing.is_certain or self._awaits(standing)):
            path.pieces.append((base, copy[: standing.variables - base]))
            return
        end = standing.awaited + POINTER - base
        if 0 < end <= len(copy):
            path.pieces.append((base, copy[:end]))
            word: bytes | None = copy[end - POINTER : end]
        else:
            word = self._memory.read(standing.awaited, POINTER)
            path.pieces += [(base, copy[: standing.variables - base]), (standing.awaited, word or b"")]
        if word is None:
            path.fault = Fault.TORN
        else:
            path.next = integer(word, 0)

    def _awaits(self, standing: Standing) -> bool:
        """Whether a suspended coroutine awaits something, by its next instruction; kept for a second."""
        return self._awaiting.of((standing.code, standing.position))

    def _is_await(self, place: tuple[int, int]) -> bool:
        code, position = place
        start: int | None = position
        if self._code_start is not None:
            data = self._memory.word(code + self._code_start)
            start = data + self._bytes_data + position * self._unit_bytes if data else None
        instruction = self._memory.read(start + _INSTRUCTION_BYTES, _INSTRUCTION_BYTES) if start else None
        return bool(instruction) and self._form.awaits(instruction or b"")

    def _lead(self, path: Path, address: int, name: str, head: bytes) -> None:
        """Go on behind an awaitable that runs nothing itself, or end there."""
        path.pieces.append((address, head))
        lead = _LEADS.get(name)
        if lead is not None and self._layout.get(lead) is not None:
            path.next = integer(head, self._layout[lead])
            return
        future = integer(head, self._layout["iter.future"]) if name == _ITERATOR else path.waits_for
        self._end(path, future, name)

    def _end(self, path: Path, future: int, name: str) -> None:
        """End at a future, or go on if it is a task that has not ended; `name` is that of what awaits it."""
        if not future:
            path.awaits = name or None
            path.fault = None if name else Fault.TORN
            return
        data = self._memory.read(future, self._task_bytes)
        if data and self._enter(path, future, data):
            return
        size = self._layout["task.state"] + _INT
        head = data[:size] if data else self._memory.read(future, size)
        kind = self._kinds.name(integer(head, self._type)) if head else ""
        if not head or not kind:
            path.fault = Fault.TORN
            return
        path.pieces.append((future, head))
        path.future = future
        is_done = name == _ITERATOR and integer(head, self._layout["task.state"], _INT) != _PENDING
        path.awaits = None if is_done else kind

    def _settle(self, path: Path) -> None:
        """Take in how a chain has ended that was followed as far as it led."""
        if path.next:
            path.fault = Fault.TORN
        elif not path.fault and not path.future and not path.awaits and path.waits_for:
            self._end(path, path.waits_for, "")  # its innermost generator has yielded the future itself
            path.fault = Fault.TORN if path.next else path.fault
