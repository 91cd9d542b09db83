"""How far two per-CPU variables of the kernel lie apart, from its BTF by libbpf: see `preempt_count_distance` in BPF.

BTF's section `.data..percpu` lists each per-CPU variable with its offset. Source: btf.rst, `struct btf_var_secinfo`.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Final

from perfwatch.probes.readers.libbpf import LIBRARY

_KIND_VAR: Final = 14
_KIND_DATASEC: Final = 15
_TYPE: Final = struct.Struct("=III")  # name_off, info, size: struct btf_type
_VARIABLE: Final = struct.Struct("=III")  # type, offset, size: struct btf_var_secinfo


def preempt_count_distance() -> int:
    """Bytes from a CPU's `runqueues` to its count of nested interrupts; 0 where BTF does not tell.

    The count is `__preempt_count` (Linux 6.15) or lies in `pcpu_hot` after one pointer (6.2 to 6.14).
    """
    lib = ctypes.CDLL(LIBRARY)
    lib.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    lib.btf__type_by_id.restype = ctypes.c_void_p
    lib.btf__type_by_id.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    lib.btf__find_by_name_kind.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
    lib.btf__free.argtypes = [ctypes.c_void_p]
    btf = lib.btf__load_vmlinux_btf()
    if not btf:
        return 0
    try:
        offsets = _offsets(lib, btf)
        queue = offsets.get(lib.btf__find_by_name_kind(btf, b"runqueues", _KIND_VAR))
        count = offsets.get(lib.btf__find_by_name_kind(btf, b"__preempt_count", _KIND_VAR))
        if count is None:
            hot = offsets.get(lib.btf__find_by_name_kind(btf, b"pcpu_hot", _KIND_VAR))
            count = None if hot is None else hot + ctypes.sizeof(ctypes.c_void_p)
        return 0 if queue is None or count is None else count - queue
    finally:
        lib.btf__free(btf)


def _offsets(lib: ctypes.CDLL, btf: int) -> dict[int, int]:
    """Offsets of the per-CPU variables, by type id."""
    section = lib.btf__find_by_name_kind(btf, b".data..percpu", _KIND_DATASEC)
    if section < 0:
        return {}
    at = lib.btf__type_by_id(btf, section)
    _, info, _ = _TYPE.unpack(ctypes.string_at(at, _TYPE.size))
    count = info & 0xFFFF
    table = ctypes.string_at(at + _TYPE.size, count * _VARIABLE.size)
    return {kind: offset for kind, offset, _ in _VARIABLE.iter_unpack(table)}
