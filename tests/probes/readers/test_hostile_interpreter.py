"""Whatever a process maps under a Python's name, finding its interpreter neither fails nor takes long."""

import os
import struct
import sys
import threading
import time
from pathlib import Path

import costing
import pytest
from ledgering import script

from perfwatch.probes import roots
from perfwatch.probes.readers import interpreter, patience
from perfwatch.probes.readers.elf_symbols import _sysv_hash
from perfwatch.probes.readers.interpreter import Interpreter, find_interpreter
from perfwatch.probes.readers.mapped_file import open_mapped

# The libraries are made by hand. One segment holds the whole file at its own addresses:
# header 0, two program headers 64, dynamic 176, hash table 256, symbols 320, names 384.
SIZE = 512
BUCKETS, CHAIN = 256 + 16 + 8, 256 + 16 + 8 + 4
RUNTIME_HASH = 5381
for letter in b"_PyRuntime":
    RUNTIME_HASH = (RUNTIME_HASH * 33 + letter) & 0xFFFFFFFF


def elf():
    """Return a whole, minimal library that defines `_PyRuntime` at 0x5000."""
    image = bytearray(SIZE)
    struct.pack_into("<6s10xHHIQQQIHHHHHH", image, 0, b"\x7fELF\x02\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    struct.pack_into("<IIQQQQQQ", image, 64, 1, 5, 0, 0, 0, SIZE, SIZE, 4096)
    struct.pack_into("<IIQQQQQQ", image, 120, 2, 6, 176, 176, 176, 64, 64, 8)
    struct.pack_into("<8Q", image, 176, 0x6FFFFEF5, 256, 6, 320, 5, 384, 0, 0)
    struct.pack_into("<IIIIQII", image, 256, 1, 1, 1, 0, 0, 1, RUNTIME_HASH | 1)
    struct.pack_into("<IBBHQQ", image, 320 + 24, 1, 17, 0, 1, 0x5000, 4096)
    image[384:396] = b"\0_PyRuntime\0"
    return image


def altered(layout, at, *values):
    image = elf()
    struct.pack_into(layout, image, at, *values)
    return image


def endless():
    """Return a library in which the chain of the one bucket goes on through a million symbols of the right hash."""
    image = altered("<QQ", 64 + 32, 8 << 20, 8 << 20)
    return image[:CHAIN] + struct.pack("<I", RUNTIME_HASH & ~1) * (1 << 20)


HOSTILE = {
    "no buckets": altered("<I", 256, 0),
    "40 million buckets": altered("<QQ", 64 + 32, 1 << 40, 1 << 40)[:256] + struct.pack("<IIII", 40_000_000, 1, 1, 0),
    "all numbers high": altered("<IIII", 256, *[0xFFFFFFFF] * 4),
    "an endless chain": endless(),
    "65535 program headers": altered("<H", 56, 65535),
    "no program header": altered("<H", 56, 0),
    "a segment elsewhere": altered("<Q", 64 + 8, 2**64 - 1),
    "tables beyond the end": altered("<6Q", 176, 0x6FFFFEF5, 2**64 - 1, 6, 2**64 - 1, 5, 2**63),
    "a runtime beyond memory": altered("<QQ", 320 + 24 + 8, 2**64 - 1, 2**64 - 1),
    "a text": bytearray(b"#!/bin/sh\n"),
    "nothing but the magic": elf()[:6],
}

MAP_LOW = """
import ctypes, os, sys
mmap = ctypes.CDLL(None).mmap
mmap.restype = ctypes.c_void_p
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
for number, path in enumerate(sys.argv[1:]):
    place = 0x100000 + number * 0x1000
    assert mmap(place, 4096, 1, 0x100002, os.open(path, os.O_RDONLY), 0) == place
print(ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")))
sys.stdin.read()
"""

MAP_OFTEN = """
import ctypes, os, sys
mmap = ctypes.CDLL(None).mmap
mmap.restype = ctypes.c_void_p
mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
file = os.open(sys.argv[1], os.O_RDONLY)
for number in range(60_000):
    assert mmap(0x100000 + number * 0x2000, 4096, 1, 0x100002, file, 0)
print("mapped")
sys.stdin.read()
"""


def invented(tmp_path, path):
    """Return a /proc in which process 1 has mapped a path, and may not be looked at by map_files."""
    process = tmp_path / "proc" / "1"
    process.mkdir(parents=True)
    (process / "maps").write_text(f"10000-11000 r--p 00000000 fe:00 123  {path}\n")
    (process / "root").symlink_to(tmp_path / "container", target_is_directory=True)
    (tmp_path / "proc" / "self").symlink_to("/proc/self", target_is_directory=True)
    (tmp_path / "container" / "lib").mkdir(parents=True)
    return tmp_path / "proc", tmp_path / "container" / "lib" / "libpython3.11.so"


def test_a_file_below_the_root_of_the_process_is_read(tmp_path):
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    library.write_bytes(elf())
    found = find_interpreter(proc, 1)
    assert found == Interpreter("3.11", 0x15000, 4096, "/lib/libpython3.11.so", found.mapping)


def test_a_segment_without_alignment_is_as_if_aligned_to_a_byte(tmp_path):
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    library.write_bytes(altered("<Q", 64 + 48, 0))
    assert find_interpreter(proc, 1).runtime_start == 0x15000


def old_style(*table):
    """Return a library with a hash table of the old kind: counts of buckets and symbols, buckets, chain."""
    image = altered("<Q", 176, 4)
    image[256:320] = struct.pack(f"<{len(table)}I", *table).ljust(64, b"\0")
    return image


def test_a_hash_table_of_the_old_kind_is_read(tmp_path):
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    library.write_bytes(old_style(1, 2, 1, 0, 0))
    assert find_interpreter(proc, 1).runtime_start == 0x15000


@pytest.mark.parametrize("table", [(0, 0), (1, 2, 0, 0, 0), (1, 3, 2, 0, 0, 2), (2**32 - 1, 2**32 - 1)])
def test_a_crafted_hash_table_of_the_old_kind_has_nothing(table, tmp_path):
    """Without buckets; with an empty one; with a circle of a symbol of no name; with more than the file."""
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    library.write_bytes(old_style(*table))
    assert find_interpreter(proc, 1) is None


def test_the_old_hash_is_that_of_the_standard():
    assert [_sysv_hash(name) for name in (b"", b"printf", b"syscall")] == [0, 0x077905A6, 0x0B09985C]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_crafted_library_is_no_python_and_costs_little(name, tmp_path):
    library = tmp_path / "libpython3.11.so"
    library.write_bytes(HOSTILE[name])
    os.truncate(library, max(len(HOSTILE[name]), 200 << 20 if "million" in name else 4096))
    with script(MAP_LOW, arguments=[library]) as (process, address), costing.at_most(0.1):
        found = find_interpreter(roots.PROC, process.pid)
    # The crafted file comes first in memory, and hides the real one only if it was taken for one.
    assert found.runtime_start == int(address)


def test_many_crafted_libraries_cost_little(tmp_path):
    """Each in a chain that ends as late as it may."""
    libraries = [tmp_path / f"libpython{number}.so" for number in range(300)]
    for library in libraries:
        library.write_bytes(HOSTILE["an endless chain"][: CHAIN + 4096])
    with script(MAP_LOW, arguments=libraries) as (process, _), costing.at_most(0.1):
        found = find_interpreter(roots.PROC, process.pid)
    assert found is None


@pytest.mark.parametrize("value", [b"\x00", b"\x01", b"\x7f", b"\xff", b"\xff" * 8])
def test_no_altered_byte_of_a_library_raises(value, tmp_path):
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    whole = bytes(elf())
    taken = 0
    for at in range(400):
        library.write_bytes(whole[:at] + value + whole[at + len(value) :])
        taken += find_interpreter(proc, 1) is not None
    # The bytes that nobody reads may be altered, those of the magic, tables and names may not.
    assert 0 < taken < 400


@pytest.mark.parametrize("length", range(0, 408, 24))
def test_no_truncated_library_raises(length, tmp_path):
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    library.write_bytes(elf()[:length])
    found = find_interpreter(proc, 1)
    assert (found is not None) == (length >= 384 + 12)


def test_a_fifo_in_the_place_of_the_library_is_not_opened(tmp_path):
    """Who opens it waits for a writer; a writer that comes without waiting is told that nobody reads."""
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    os.mkfifo(library)
    assert find_interpreter(proc, 1) is None
    with pytest.raises(OSError, match="No such device or address"):
        os.open(library, os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.parametrize("link", ["lib/libpython3.11.so", "lib"])
def test_a_link_out_of_the_root_of_the_process_is_not_followed(link, tmp_path):
    proc, library = invented(tmp_path, "/lib/libpython3.11.so")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / library.name).write_bytes(elf())
    if link == "lib":
        library.parent.rmdir()
        library.parent.symlink_to(outside, target_is_directory=True)
    else:
        library.symlink_to(outside / library.name)
    assert library.read_bytes() == elf()
    assert find_interpreter(proc, 1) is None


@pytest.mark.parametrize(
    "path", ["/lib/../../outside/libpython3.11.so", "/" + "a/" * 65 + "python", "/lib/python\udcff"]
)
def test_a_path_that_cannot_be_is_no_python(path, tmp_path):
    proc, library = invented(tmp_path, "/lib/python")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / library.name).write_bytes(elf())
    maps = f"10000-11000 r--p 00000000 fe:00 123  {path}\n"
    (proc / "1" / "maps").write_bytes(os.fsencode(maps))
    assert find_interpreter(proc, 1) is None


def test_a_device_and_a_file_beyond_fair_size_are_refused(tmp_path):
    _, library = invented(tmp_path, "/lib/libpython3.11.so")
    library.touch()
    os.truncate(library, (256 << 20) + 1)
    for path in (library, Path("/dev/null"), tmp_path):
        with pytest.raises(OSError, match="not a regular file"):
            open_mapped(roots.PROC, os.getpid(), "0-1", os.fsencode(path))


def test_tens_of_thousands_of_mappings_cost_little(tmp_path):
    """As many as the kernel allows unless told otherwise, of paths that are slow to write and to judge."""
    folder = tmp_path.joinpath(*["python"] * 20)
    folder.mkdir(parents=True)
    (folder / "x").write_bytes(bytes(4096))
    with script(MAP_OFTEN, arguments=[folder / "x"]) as (process, _), costing.at_most(0.3):
        found = find_interpreter(roots.PROC, process.pid)
    # The libpython of the process lies behind them all, and is not looked for that long.
    assert found is None or found.path == os.path.realpath(sys.executable)


def test_a_file_that_is_never_opened_is_waited_for_once(monkeypatch, tmp_path):
    """A file system whose server is dead, FUSE or NFS, answers nothing; here a gate does."""
    gate, asked = threading.Event(), []

    def wait(*_):
        asked.append(1)
        gate.wait(10)
        raise OSError

    monkeypatch.setattr(interpreter, "open_mapped", wait)
    proc, _ = invented(tmp_path, "/lib/libpython3.11.so")
    maps = proc / "1" / "maps"
    maps.write_text(maps.read_text().replace("fe:00", "00:27"))
    began = time.monotonic()
    assert find_interpreter(proc, 1) is None
    assert find_interpreter(proc, 1) is None
    assert time.monotonic() - began < 5
    assert len(asked) == 1
    gate.set()
    while any(thread.is_alive() for thread in patience._late.values()):
        time.sleep(0.01)
    assert find_interpreter(proc, 1) is None
    assert len(asked) == 2


def test_so_many_may_be_waited_for(monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(patience, "_late", late := {})
    for number in range(patience.MAX_LATE + 1):
        assert patience.in_time(b"%d" % number, gate.wait, 0.01) is None
    assert len(late) == patience.MAX_LATE
    threads = list(late.values())
    gate.set()
    for thread in threads:
        thread.join()
    assert patience.in_time(b"0", gate.wait, 5) is True
    with pytest.raises(ZeroDivisionError):
        patience.in_time(b"0", lambda: 1 // 0, 5)
