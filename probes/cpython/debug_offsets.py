"""The layout that an interpreter says itself, from 3.13 on: `_Py_DebugOffsets`, with which `_PyRuntime` begins.

It is a row of unsigned 64-bit numbers (Include/internal/pycore_debug_offsets.h), preceded by the cookie `xdebugpy`,
PY_VERSION_HEX, and whether the build is free-threaded. The order of the numbers is that of a minor version, and is
written down here under the names of offsets.json. Of 3.13 there is a table too, which says more; the two must agree. Of
3.14 there is only this: it was written by the published header, and has not been tried on a 3.14.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.layout import Layout
from perfwatch.probes.cpython.objects import POINTER

if TYPE_CHECKING:
    from perfwatch.probes.cpython.memory import Memory

_COOKIE: Final = b"xdebugpy"
_HEAD: Final = struct.Struct("<8sQQ")
_RUNTIME: Final = "sz.runtime - rt.interp_head"
_GIL: Final = "is.gil_ptr is.gil - is.gil_locked is.gil_holder"
_THREAD: Final = "sz.ts - ts.next ts.interp ts.current_frame ts.thread_id ts.native_thread_id ts.datastack_chunk -"
_FRAME: Final = "sz.frame f.back f.code f.prev_instr f.localsplus f.owner"
_CODE: Final = (
    "sz.code co.filename co.name co.qualname co.linetable co.firstlineno - co.localsplusnames - co.code_adaptive"
)
_OBJECTS: Final = "- ob.type  - type.name - -  - tuple.items tuple.size  - - -"
_MORE_OBJECTS: Final = "- - -  - -  - - -  - bytes.size bytes.data  - str.state str.length sz.ascii"
_COLLECTOR: Final = "sz.gc gc.collecting"
_FIELDS: Final = {
    (3, 13): (
        f"{_RUNTIME} sz.interp is.id is.next is.threads_head is.gc is.modules - - {_GIL} {_THREAD} {_FRAME} {_CODE} "
        f"{_OBJECTS} {_MORE_OBJECTS} {_COLLECTOR}"
    ).split(),
    (3, 14): (
        f"{_RUNTIME} sz.interp is.id is.next is.threads_head - is.gc is.modules - - {_GIL} - - {_THREAD} {_FRAME} - - "
        f"{_CODE} - {_OBJECTS} - - - - {_MORE_OBJECTS} {_COLLECTOR}"
    ).split(),
}
_NOT_A_FUNCTION: Final = 3
"""Frames with this owner or a higher one are the interpreter's own."""
_UTF8_BYTES: Final = 16
"""Of length and address of the UTF-8 form, which strings that are not ASCII have behind their head."""


class SelfDescription(NamedTuple):
    """What an interpreter says of itself."""

    version: str
    is_free_threaded: bool
    layout: Layout | None
    """None: the order of its numbers is not known."""


def read_description(memory: Memory, runtime: int) -> SelfDescription | None:
    """Return what is at the start of `_PyRuntime`; None before 3.13, or if it cannot be read. Raises Vanished."""
    head = memory.read(runtime, _HEAD.size)
    if head is None:
        return None
    cookie, version, is_free_threaded = _HEAD.unpack(head)
    if cookie != _COOKIE:
        return None
    numbers = version >> 24 & 255, version >> 16 & 255, version >> 8 & 255
    fields = _FIELDS.get(numbers[:2])
    data = memory.read(runtime + _HEAD.size, len(fields) * POINTER) if fields else None
    layout = Layout(numbers[:2], _offsets(fields, data)) if fields and data else None
    return SelfDescription(".".join(map(str, numbers)), bool(is_free_threaded), layout)


def _offsets(fields: list[str], data: bytes) -> dict[str, int]:
    told = struct.unpack(f"<{len(fields)}Q", data)
    offsets = {name: number for name, number in zip(fields, told, strict=True) if name != "-"}
    gil = offsets.pop("is.gil")
    offsets["gil.locked"] = offsets.pop("is.gil_locked") - gil
    offsets["gil.last_holder"] = offsets.pop("is.gil_holder") - gil
    offsets["sz.compact"] = offsets["sz.ascii"] + _UTF8_BYTES
    offsets["FRAME_OWNED_BY_CSTACK"] = _NOT_A_FUNCTION
    return offsets
