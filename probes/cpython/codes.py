"""Names a place in the code: (code object, position) in another process's memory becomes a frame.

What is read of a code object is kept. Its address can come to hold another one (a function was redefined, a lambda of
`eval` freed): what was kept is compared with the memory when it is used and a second has passed since the last time,
so a wrong name can last for a second at most. An address that holds no code object any more has no frame. Cost: 100 us
for a code object that is new, 3 us for a new position in it, 0.3 us for one that is known; and 1 us for each of its
instructions when a call in it is named for the first time.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.body import Body
from perfwatch.probes.cpython.bytecode import instruction_set
from perfwatch.probes.cpython.lines import MAX_TABLE_BYTES, Lines
from perfwatch.probes.cpython.objects import Objects, integer
from perfwatch.probes.frames import Frame

if TYPE_CHECKING:
    from perfwatch.probes.cpython.python import Python

MAX_BYTES: Final = 64 << 20
"""About so much is kept; then all is forgotten."""
MAX_BODIES: Final = 64
"""Of so many code objects the instructions are kept, until all are forgotten."""
_CODE_BYTES, _POSITION_BYTES, _LINE_BYTES = 1500, 200, 8
CHECKED_FOR_NS: Final = 1_000_000_000
_INT: Final = 4
_MAX_REFERENCES: Final = 1 << 34
"""No living object has more (immortal ones, from 3.12 on, 2**32 - 1); of a freed one that field is 0 or an address."""
_TYPE_NAME: Final = b"code\0"


class _Head(NamedTuple):
    """What tells one code object from another: addresses, but for the line."""

    filename: int
    name: int
    table: int
    first_line: int


class _Code:
    """One code object."""

    __slots__ = ("calls", "checked_ns", "frames", "head", "lines", "names")

    def __init__(self, head: _Head, names: tuple[str, str], lines: Lines) -> None:
        self.head = head
        self.names = names
        """Of its function, and of its file."""
        self.lines = lines
        self.checked_ns = 0
        self.frames: dict[int, Frame] = {}
        self.calls: dict[int, str | None] = {}


class Codes:
    """The code objects of one interpreter. Its methods raise Vanished or Unavailable, as `Memory` does."""

    def __init__(self, python: Python) -> None:
        self._python = python
        self._memory = python.memory
        self._minor = python.layout.minor
        self._objects = Objects(python.memory, python.layout)
        layout = python.layout
        self._size = layout["sz.code"]
        self._type = layout["ob.type"]
        self._type_name = layout["type.name"]
        self._filename = layout["co.filename"]
        self._name = layout["co.qualname"] if layout.get("co.qualname") else layout["co.name"]
        self._table = layout["co.linetable"] if layout.get("co.linetable") else layout["co.lnotab"]
        self._first_line = layout["co.firstlineno"]
        self._start = layout.get("co.code_adaptive")
        self._distances = _distances(layout.minor)
        self._code_type = 0
        self._known: dict[int, _Code] = {}
        self._bodies: dict[int, Body] = {}
        self._bytes = 0

    def frame(self, code: int, at: int) -> Frame | None:
        """Return the frame of a code object's address and a position in it; None if there is none (any more).

        The position is f_lasti up to 3.10, the address prev_instr or instr_ptr from 3.11 on.
        """
        known = self._code(code)
        if known is None:
            return None
        frame = known.frames.get(at)
        if frame is None:
            frame = Frame(*known.names, known.lines.at(self.offset(code, at)))
            known.frames[at] = frame
            self._count(_POSITION_BYTES)
        return frame

    def native_call(self, code: int, at: int) -> str | None:
        """Return what is called at a position that has no frame of its own, as its caller wrote it; see calls.py.

        Ask only of the innermost frame: what is called there is no Python function.
        """
        known = self._code(code)
        if known is None:
            return None
        offset = self.offset(code, at)
        if offset not in known.calls:
            known.calls[offset] = self._body(code).called(offset)
            self._count(_POSITION_BYTES)
        return known.calls[offset]

    def while_called(self, at: int) -> tuple[int, ...]:
        """Return where a frame can stand while a Python function runs that it calls at a position.

        In 3.11 and 3.12 that is behind the call's caches, for calls that the interpreter makes without C.
        """
        return tuple(at + distance for distance in self._distances)

    def offset(self, code: int, at: int) -> int:
        """Return a position in bytes from the start of the code; negative before the first instruction."""
        if self._start is not None:
            return at - code - self._start
        # f_lasti is an int, -1 before the first instruction; 3.10 counts instructions.
        lasti = at - (1 << 32) if at >= 1 << 31 else at
        return lasti * 2 if self._minor == (3, 10) else lasti

    def _code(self, address: int) -> _Code | None:
        """Return what is known of a code object, if it is still the same."""
        now_ns = time.monotonic_ns()
        known = self._known.get(address)
        if known is not None and now_ns - known.checked_ns < CHECKED_FOR_NS:
            return known
        head = self._head(address)
        if known is not None and head == known.head:
            known.checked_ns = now_ns
            return known
        self._known.pop(address, None)
        self._bodies.pop(address, None)
        known = self._new(head) if head else None
        if known is not None:
            known.checked_ns = now_ns
            self._known[address] = known
            self._count(_CODE_BYTES + len(known.lines) * _LINE_BYTES)
        return known

    def _count(self, size: int) -> None:
        """Take in that so much more is kept; if it is too much, keep nothing."""
        self._bytes += size
        if self._bytes > MAX_BYTES:
            self._bytes = 0
            self._known.clear()
            self._bodies.clear()

    def _body(self, address: int) -> Body:
        if address not in self._bodies:
            if len(self._bodies) >= MAX_BODIES:
                self._bodies.clear()
            self._bodies[address] = Body(self._python, self._objects, address)
        return self._bodies[address]

    def _new(self, head: _Head) -> _Code | None:
        """Read what belongs to a code object; None if it is not what it should be."""
        function, file = self._objects.texts([head.name, head.filename])
        table = self._objects.data(head.table, MAX_TABLE_BYTES)
        if function is None or file is None or table is None:
            return None
        return _Code(head, (function, file), Lines(self._minor, table, head.first_line))

    def _head(self, address: int) -> _Head | None:
        """Read a code object; None if it is none."""
        data = self._memory.read(address, self._size)
        if data is None or not self._is_counted(data) or not self._is_code(integer(data, self._type)):
            return None
        return _Head(
            filename=integer(data, self._filename),
            name=integer(data, self._name),
            table=integer(data, self._table),
            first_line=integer(data, self._first_line, _INT),
        )

    def _is_counted(self, data: bytes) -> bool:
        """Whether an object has as many references as a living one can have. From 3.14 on flags are above the count."""
        count = integer(data, 0) if self._minor < (3, 14) else integer(data, 0, _INT)
        return 0 < count <= _MAX_REFERENCES

    def _is_code(self, kind: int) -> bool:
        """Whether an address is that of the type of code objects; known by its name the first time."""
        if kind == self._code_type:
            return True
        name = self._memory.word(kind + self._type_name) if not self._code_type else None
        if name and self._memory.read(name, len(_TYPE_NAME)) == _TYPE_NAME:
            self._code_type = kind
        return kind == self._code_type


def _distances(minor: tuple[int, int]) -> tuple[int, ...]:
    """Return how far behind its call a frame can stand while what was called runs."""
    known = instruction_set(minor)
    if known is None or not (3, 11) <= minor <= (3, 12):
        return (0,)
    call = 2 * known.by_name["CALL"].caches
    before = known.by_name.get("PRECALL")
    return (0, call) if before is None else (0, call, 2 * (1 + before.caches) + call)
