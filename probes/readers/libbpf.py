"""libbpf.so.1 through ctypes: load a BPF object, attach its programs, read its maps and its ring buffer.

Only what the ledger needs. Everything lives as long as its file descriptors: when the process ends, however it
ends, the kernel takes programs, maps and links away. Tested with libbpf 1.1; API: libbpf.h, stable since 1.0.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from typing import TYPE_CHECKING, Final, Self

from perfwatch.probes.errors import Unavailable
from perfwatch.probes.readers import uprobes
from perfwatch.probes.readers.ring import MACHINES, MappedRing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

LIBRARY: Final = "libbpf.so.1"
_SAMPLE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_BPF_EXIST: Final = 2
_PER_CPU: Final = (5, 6, 10)  # BPF_MAP_TYPE_PERCPU_HASH, _ARRAY, BPF_MAP_TYPE_LRU_PERCPU_HASH


class _IterTarget(ctypes.Structure):
    """`union bpf_iter_link_info`, its task member: which process to walk."""

    _fields_ = [("tid", ctypes.c_uint32), ("pid", ctypes.c_uint32), ("pid_fd", ctypes.c_uint32)]


class _IterOptions(ctypes.Structure):
    """`struct bpf_iter_attach_opts`."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("link_info", ctypes.POINTER(_IterTarget)),
        ("link_info_len", ctypes.c_uint32),
    ]


def _open_library() -> ctypes.CDLL:
    try:
        lib = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        raise Unavailable(f"{LIBRARY} is not installed", "apt install libbpf1") from None
    pointer, size, u32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32
    signatures: dict[str, tuple[object, list[object]]] = {
        "libbpf_set_print": (pointer, [_PRINT]),
        "bpf_object__open_mem": (pointer, [pointer, size, pointer]),
        "bpf_object__load": (ctypes.c_int, [pointer]),
        "bpf_object__close": (None, [pointer]),
        "bpf_object__next_program": (pointer, [pointer, pointer]),
        "bpf_object__find_program_by_name": (pointer, [pointer, ctypes.c_char_p]),
        "bpf_object__find_map_by_name": (pointer, [pointer, ctypes.c_char_p]),
        "bpf_map__fd": (ctypes.c_int, [pointer]),
        "bpf_map__type": (ctypes.c_int, [pointer]),
        "bpf_map__key_size": (u32, [pointer]),
        "bpf_map__value_size": (u32, [pointer]),
        "bpf_map__max_entries": (u32, [pointer]),
        "bpf_program__name": (ctypes.c_char_p, [pointer]),
        "bpf_program__section_name": (ctypes.c_char_p, [pointer]),
        "bpf_program__set_autoload": (ctypes.c_int, [pointer, ctypes.c_bool]),
        "bpf_program__autoload": (ctypes.c_bool, [pointer]),
        "bpf_program__attach": (pointer, [pointer]),
        "bpf_program__attach_perf_event": (pointer, [pointer, ctypes.c_int]),
        "bpf_program__fd": (ctypes.c_int, [pointer]),
        "bpf_program__set_expected_attach_type": (ctypes.c_int, [pointer, ctypes.c_int]),
        "bpf_program__attach_iter": (pointer, [pointer, pointer]),
        "bpf_link__fd": (ctypes.c_int, [pointer]),
        "bpf_link__destroy": (ctypes.c_int, [pointer]),
        "bpf_iter_create": (ctypes.c_int, [ctypes.c_int]),
        "bpf_map_lookup_elem": (ctypes.c_int, [ctypes.c_int, pointer, pointer]),
        "bpf_map_update_elem": (ctypes.c_int, [ctypes.c_int, pointer, pointer, ctypes.c_uint64]),
        "bpf_map_delete_elem": (ctypes.c_int, [ctypes.c_int, pointer]),
        "bpf_map_get_next_key": (ctypes.c_int, [ctypes.c_int, pointer, pointer]),
        "bpf_map_lookup_batch": (
            ctypes.c_int,
            [ctypes.c_int, pointer, pointer, pointer, pointer, ctypes.POINTER(u32), pointer],
        ),
        "ring_buffer__new": (pointer, [ctypes.c_int, _SAMPLE, pointer, pointer]),
        "ring_buffer__consume": (ctypes.c_int, [pointer]),
        "ring_buffer__free": (None, [pointer]),
        "libbpf_num_possible_cpus": (ctypes.c_int, []),
        "libbpf_version_string": (ctypes.c_char_p, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class BpfMap:
    """One map: keys and values are bytes of fixed size."""

    def __init__(self, lib: ctypes.CDLL, fd: int, key_bytes: int, value_bytes: int) -> None:
        self._lib, self._fd = lib, fd
        self._key_bytes, self._value_bytes = key_bytes, value_bytes
        self._value = ctypes.create_string_buffer(value_bytes)

    def get(self, key: bytes) -> bytes | None:
        """Copy the value of a key; None where there is none."""
        return self._value.raw if self._lib.bpf_map_lookup_elem(self._fd, key, self._value) == 0 else None

    def put(self, key: bytes, value: bytes) -> None:
        """Set a value; raises OSError (E2BIG: the map is full)."""
        _check(self._lib.bpf_map_update_elem(self._fd, key, value, 0), "bpf_map_update_elem")

    def replace(self, key: bytes, value: bytes) -> bool:
        """Set the value of a key that is there; False if it is not."""
        return bool(self._lib.bpf_map_update_elem(self._fd, key, value, _BPF_EXIST) == 0)

    def delete(self, key: bytes) -> None:
        """Remove a key; one that is not there is no error."""
        self._lib.bpf_map_delete_elem(self._fd, key)

    def entries(self, limit: int = 65536) -> Iterator[tuple[bytes, bytes]]:
        """Copy the entries, 64 a system call; one that moves meanwhile may be seen twice or not at all."""
        step = 64
        keys = ctypes.create_string_buffer(step * self._key_bytes)
        values = ctypes.create_string_buffer(step * self._value_bytes)
        cursor = ctypes.create_string_buffer(max(8, self._key_bytes))
        count, first, seen = ctypes.c_uint32(), True, 0
        while seen < limit:
            count.value = step
            result = self._lib.bpf_map_lookup_batch(
                self._fd, None if first else cursor, cursor, keys, values, ctypes.byref(count), None
            )
            if result < 0 and result != -errno.ENOENT:
                return
            first, seen = False, seen + count.value
            for i in range(count.value):
                yield _piece(keys, i, self._key_bytes), _piece(values, i, self._value_bytes)
            if result < 0:
                return


class CalledRing:
    """A ring buffer that libbpf reads: it calls back for each event."""

    def __init__(self, lib: ctypes.CDLL, fd: int) -> None:
        def sample(_context: int, data: int, size: int) -> int:
            self._events.append(ctypes.string_at(data, size))
            return 0

        self._lib = lib
        self._events: list[bytes] = []
        self._sample = _SAMPLE(sample)  # kept: libbpf holds a bare pointer to it
        self._ring = lib.ring_buffer__new(fd, self._sample, None, None)
        if not self._ring:
            raise OSError(ctypes.get_errno(), "ring_buffer__new")

    def take(self) -> list[bytes]:
        """Copy all events that are there, in order."""
        _check(self._lib.ring_buffer__consume(self._ring), "ring_buffer__consume")
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Let go of the memory."""
        self._lib.ring_buffer__free(self._ring)


class BpfObject:
    """A BPF object from a file's bytes: opened, loaded and attached; closed by `close`, or by the process's end.

    Raises Unavailable, with the kernel's own reason, where it cannot be loaded.
    """

    def __init__(self, image: bytes) -> None:
        self._lib = _open_library()
        self._printer = _PRINT(lambda _level, _format, _arguments: 0)  # libbpf stays silent; errno tells
        self._lib.libbpf_set_print(self._printer)
        self._image = ctypes.create_string_buffer(image, len(image))  # libbpf reads it until it is loaded
        self._links: list[int] = []
        self._ring: MappedRing | CalledRing | None = None
        self._object: int | None = self._lib.bpf_object__open_mem(self._image, len(image), None)
        if not self._object:
            raise Unavailable("the BPF object cannot be read by this libbpf", "install libbpf 1.0 or later")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def load(self) -> None:
        """Have the kernel verify and load all programs; the ledger's take 0.3 s."""
        result = self._lib.bpf_object__load(self._object)
        if result == 0:
            return
        if result == -errno.EPERM:
            raise Unavailable("no permission to load BPF programs", "run as root, or with CAP_BPF and CAP_PERFMON")
        raise Unavailable(
            f"this kernel does not take the BPF program ({os.strerror(-result)})",
            "perfwatch doctor says what is missing",
        )

    def attach(self) -> None:
        """Attach every program that has a tracepoint; all or none."""
        for program in self._programs():
            if not self._lib.bpf_program__section_name(program).startswith(b"tp_btf/"):
                continue
            link = self._lib.bpf_program__attach(program)
            if not link:
                name = self._lib.bpf_program__name(program).decode()
                raise Unavailable(f"BPF program {name} cannot be attached", "perfwatch doctor says what is missing")
            self._links.append(link)

    def attach_perf_event(self, program: str, fd: int) -> None:
        """Run a program at each event of a perf descriptor, which may be closed then; raises OSError."""
        link = self._lib.bpf_program__attach_perf_event(self._find(program), fd)
        if not link:
            raise OSError(ctypes.get_errno(), "bpf_program__attach_perf_event")
        self._links.append(link)

    def expect_uprobes(self, *programs: str) -> None:
        """Say before `load` that these programs are for `attach_uprobe`."""
        for program in programs:
            self._lib.bpf_program__set_expected_attach_type(self._find(program), uprobes.ATTACH_TYPE)

    def leave_out(self, *programs: str) -> None:
        """Say before `load` that these programs are not wanted."""
        for program in programs:
            self._lib.bpf_program__set_autoload(self._find(program), False)  # noqa: FBT003 - as in C

    def attach_uprobe(self, program: str, site: uprobes.Uprobe) -> int:
        """Run a program where one process executes an instruction of a file; returns a descriptor that holds it there.

        Raises OSError. Closing the descriptor, or the end of this process, takes it away.
        """
        return uprobes.attach(self._lib.bpf_program__fd(self._find(program)), site)

    def iterate(self, program: str, pid: int) -> bytes:
        """Run an iterator program over one process; returns what it wrote. Raises OSError."""
        target = _IterTarget(0, pid, 0)
        options = _IterOptions(ctypes.sizeof(_IterOptions), ctypes.pointer(target), ctypes.sizeof(target))
        link = self._lib.bpf_program__attach_iter(self._find(program), ctypes.byref(options))
        if not link:
            raise OSError(ctypes.get_errno(), "bpf_program__attach_iter")
        try:
            fd = self._lib.bpf_iter_create(self._lib.bpf_link__fd(link))
            _check(fd, "bpf_iter_create")
            with open(fd, "rb") as stream:  # noqa: PTH123 - a descriptor, not a path
                return stream.read()
        finally:
            self._lib.bpf_link__destroy(link)

    def map(self, name: str, key_bytes: int, value_bytes: int) -> BpfMap:
        """Find a map by name; for a per-CPU map `value_bytes` counts all CPUs."""
        found = self._lib.bpf_object__find_map_by_name(self._object, name.encode())
        if not found:
            raise ValueError(f"there is no map {name}")
        value = self._lib.bpf_map__value_size(found)
        if self._lib.bpf_map__type(found) in _PER_CPU:
            value = -(-value // 8) * 8 * self.possible_cpus()
        if (self._lib.bpf_map__key_size(found), value) != (key_bytes, value_bytes):
            raise ValueError(f"map {name} has values of {value} bytes, not {value_bytes}: they would not fit")
        return BpfMap(self._lib, self._lib.bpf_map__fd(found), key_bytes, value_bytes)

    def open_ring(self, name: str) -> None:
        """Have `consume` read the events of a ring buffer."""
        found = self._lib.bpf_object__find_map_by_name(self._object, name.encode())
        fd, size = self._lib.bpf_map__fd(found), self._lib.bpf_map__max_entries(found)
        self._ring = MappedRing(fd, size) if platform.machine() in MACHINES else CalledRing(self._lib, fd)

    def consume(self) -> list[bytes]:
        """Return all events that are there, in order."""
        return self._ring.take() if self._ring else []

    def close(self) -> None:
        """Detach and unload everything; may be called twice."""
        for link in self._links:
            self._lib.bpf_link__destroy(link)
        self._links.clear()
        if self._ring:
            self._ring.close()
            self._ring = None
        if self._object:
            self._lib.bpf_object__close(self._object)
            self._object = None

    def possible_cpus(self) -> int:
        """How many values a per-CPU map has."""
        return int(self._lib.libbpf_num_possible_cpus())

    def _find(self, program: str) -> int:
        return int(self._lib.bpf_object__find_program_by_name(self._object, program.encode()))

    def _programs(self) -> Iterator[int]:
        program = self._lib.bpf_object__next_program(self._object, None)
        while program:
            yield program
            program = self._lib.bpf_object__next_program(self._object, program)


def library_version() -> str:
    """Version of the installed libbpf (`v1.1`); raises Unavailable without one."""
    return str(_open_library().libbpf_version_string().decode())


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(-result if result != -1 else ctypes.get_errno(), what)
    return result


def _piece(array: ctypes.Array[ctypes.c_char], place: int, size: int) -> bytes:
    """Copy one of the entries of an array, and no more of it."""
    return memoryview(array)[place * size : (place + 1) * size].tobytes()
