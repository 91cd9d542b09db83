"""Copies the frames of a thread while it runs on, and tells a sound copy from a torn one.

A copy holds the thread's state, which says which frame is the innermost, then the frames, then once more what said
that: `ts.frame`; in 3.11 and 3.12 `ts.cframe->current_frame`; from 3.13 on `ts.current_frame`. It is sound if that is
the same before and behind the frames, and none of them is missing. Made by one system call it takes 1 to 6 us; it is
seldom that a thread calls and returns meanwhile so that its innermost frame lies at the same address again. Where it
is not so seldom, on the data stack of 3.11 and later, the frames are copied twice, and must be the same.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from perfwatch.probes.cpython.frame_form import MAX_DEPTH, FrameForm, Stack, Stretch
from perfwatch.probes.cpython.memory import MAX_BYTES, Places
from perfwatch.probes.cpython.objects import POINTER, integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfwatch.probes.cpython.python import Python

MAX_CHUNKS: Final = 64
MAX_STACK_BYTES: Final = MAX_BYTES // 4
"""Of one thread's data stack."""
MAX_REMEMBERED: Final = 64
"""Frames of earlier stacks that are copied too: in a loop they will be of the next."""
_SLACK_BYTES: Final = 512
"""So much above the top of the data stack is copied too: the frame that is called next lies there."""


class Fault(Enum):
    """Why a copy has no stack."""

    TORN = auto()
    """The stack changed while it was copied."""
    INCOMPLETE = auto()
    """Frames are missing: something else is to be copied."""


class Copier:
    """Plans the copies of one Python's threads. Its methods raise Vanished or Unavailable."""

    def __init__(self, python: Python) -> None:
        layout = python.layout
        self._memory = python.memory
        self._layout = layout
        self.form = FrameForm(layout)
        self.state_bytes = layout["sz.ts"]
        self.by_cframe = layout.get("ts.cframe") is not None
        self.in_cframe = layout.get("cframe.current_frame") or 0
        names = ("ts.cframe", "ts.current_frame", "ts.frame")
        self.pointer = next(at for name in names if (at := layout.get(name)) is not None)
        """Where in a thread's state it says which frame is the innermost, or which cframe knows."""

    def plan(self, address: int, remembered: Iterable[int] = ()) -> Copy | None:
        """Say what is to be copied of the thread with a state at an address, as it is now; None if it cannot be read.

        `remembered` are addresses of frames that are to be copied also if they are not of its stack now.
        """
        state = self._memory.read(address, self.state_bytes)
        if state is None:
            return None
        cframe = integer(state, self.pointer) if self.by_cframe else 0
        innermost = self._memory.word(cframe + self.in_cframe) if self.by_cframe else integer(state, self.pointer)
        if innermost is None:
            return None
        stretches = self._stretches(state)
        single = self._single(innermost, stretches)
        if single is None:
            return None
        others = [frame for frame in remembered if frame not in single][:MAX_REMEMBERED]
        return Copy(self, (address, cframe), stretches, (single, others))

    def state(self, data: bytes) -> tuple[int, int, int]:
        """Return what a thread's state, or a copy that begins with it, says: id, interpreter, and the next state."""
        layout = self._layout
        number = layout.get("ts.id")
        own = 0 if number is None else integer(data, number)
        return own, integer(data, layout["ts.interp"]), integer(data, layout["ts.next"])

    def _stretches(self, state: bytes) -> list[tuple[int, int]]:
        """Return (start, end) of the parts of a thread's data stack that are in use, the innermost first."""
        layout = self._layout
        if layout.get("ts.datastack_top") is None:
            return []
        chunk, top = integer(state, layout["ts.datastack_chunk"]), integer(state, layout["ts.datastack_top"])
        found: list[tuple[int, int]] = []
        room = MAX_STACK_BYTES
        for _ in range(MAX_CHUNKS):
            head = self._memory.read(chunk, layout["chunk.data"]) if chunk else None
            if not head:
                break
            start, end = chunk + layout["chunk.data"], chunk + integer(head, layout["chunk.size"])
            if found:  # of one that is full, its own head says how much of it is in use
                end = min(end, start + integer(head, layout["chunk.top"]) * POINTER)
            else:
                end = min(end, max(top, start) + _SLACK_BYTES)
            room -= end - start
            if end <= start or room < 0:
                break
            found.append((start, end))
            chunk = integer(head, layout["chunk.previous"])
        return found

    def _single(self, innermost: int, stretches: list[tuple[int, int]]) -> dict[int, None] | None:
        """Follow a stack, and return the frames that lie by themselves; None if one cannot be read."""
        single: dict[int, None] = {}
        copies = self._memory.read_each([(start, end - start) for start, end in stretches])
        address = innermost
        for _ in range(MAX_DEPTH):
            if not address:
                break
            data, at = None, 0
            for (start, end), copy in zip(stretches, copies, strict=True):
                if copy and start <= address <= end - self.form.end:
                    data, at = copy, address - start + self.form.start
            if data is None:
                data = self._memory.read(address + self.form.start, self.form.size)
                single[address] = None
            if data is None:
                return None
            address = self.form.back(data, at)
        return single


class Copy:
    """What is to be copied of one thread: `places` are read, and `stack` makes something of what was read.

    `glance` is the first part of them, which is enough to see that nothing has changed.
    """

    __slots__ = ("_again_at", "_cframe", "_copier", "_single", "_stretches", "glance", "has_remembered", "places")

    def __init__(
        self,
        copier: Copier,
        thread: tuple[int, int],
        stretches: list[tuple[int, int]],
        single: tuple[Iterable[int], list[int]],
    ) -> None:
        """`thread` is the address of its state, and in 3.11 and 3.12 that of its cframe.

        `single` are the frames outside of the stretches: those of its stack, and those remembered.
        """
        form = copier.form
        address, cframe = thread
        own, others = single
        self.has_remembered = bool(others)
        self._copier = copier
        self._cframe = cframe.to_bytes(POINTER, "little")
        places = [(address, copier.state_bytes)]
        innermost = [(address + copier.pointer, POINTER)]
        if copier.by_cframe:
            innermost.insert(0, (cframe + copier.in_cframe, POINTER))
            places.append(innermost[0])
        at = sum(size for _, size in places)
        self._stretches: list[Stretch] = []
        for start, end in stretches:
            self._stretches.append(Stretch(start, end - form.end, at + form.start))
            at += end - start
        self._single = {frame: at + number * form.size for number, frame in enumerate([*own, *others])}
        self._again_at = at + len(self._single) * form.size
        places += [(start, end - start) for start, end in stretches]
        places += [(frame + form.start, form.size) for frame in self._single]
        again = [(start, end - start) for start, end in stretches[:1]]
        self.glance = Places(places)
        self.places = Places(places + again + innermost)

    @property
    def frames(self) -> Iterable[int]:
        """The frames that lie by themselves."""
        return self._single.keys()

    def stack(self, data: bytes) -> Stack | Fault:
        """Return the stack of what was read of `places`, or why there is none."""
        copier = self._copier
        pointer = data[copier.pointer : copier.pointer + POINTER]
        if pointer != data[-POINTER:]:
            return Fault.TORN
        if copier.by_cframe:
            if pointer != self._cframe:
                return Fault.INCOMPLETE
            pointer = data[copier.state_bytes : copier.state_bytes + POINTER]
            if pointer != data[-2 * POINTER : -POINTER]:
                return Fault.TORN
        innermost = int.from_bytes(pointer, "little")
        stack = copier.form.stack(data, innermost, self._single, self._stretches)
        if stack is None:
            return Fault.INCOMPLETE
        return stack if self._is_same_again(data, innermost, stack) else Fault.TORN

    def _is_same_again(self, data: bytes, innermost: int, stack: Stack) -> bool:
        """Whether the frames of the first stretch make the same stack in its second copy.

        The position in the innermost may be another: a thread that calls nothing moves on there.
        """
        if not self._stretches:
            return True
        first, *others = self._stretches
        form = self._copier.form
        size = first.last + form.end - first.start
        began = first.at - form.start
        if data[began : began + size] == data[self._again_at : self._again_at + size]:
            return True
        again = form.stack(data, innermost, self._single, [first._replace(at=self._again_at + form.start), *others])
        if not again or not stack:
            return again == stack
        return again[0][0] == stack[0][0] and again[1:] == stack[1:]
