"""Whatever a file holds, looking for the collector in it neither fails nor takes long."""

import os
import struct
import time
from contextlib import contextmanager
from functools import cache
from itertools import pairwise

import pytest
from collecting import DEBIAN, library
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from perfwatch.probes.cpython.site import Site, collector_site

COST_S = 0.2
HEADER_BYTES = 64
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
SYMBOL_TABLE, NOTE = 2, 7
VERSION = {"built with static probes": "3.11", "built with symbols": "3.8"}
PATHS = {"built with static probes": DEBIAN, "built with symbols": library("3.8")}
REGIONS = (".note.stapsdt", ".stapsdt.base", ".shstrtab", ".dynamic", ".gnu.hash", ".dynsym", ".symtab", ".strtab")


@contextmanager
def file_of(*parts):
    """Yield a descriptor of a file in memory that holds all parts, each (offset, bytes)."""
    fd = os.memfd_create("hostile")
    try:
        for offset, data in parts:
            os.pwrite(fd, data, offset)
        yield fd
    finally:
        os.close(fd)


def look(fd, version="3.8"):
    began = time.process_time()
    found = collector_site(fd, version)
    assert time.process_time() - began < COST_S
    assert found is None or isinstance(found, Site)
    return found


@cache
def real(kind):
    """Return a descriptor of a copy in memory, and the (offset, size) of what is read of it first."""
    path = PATHS[kind]
    fd = os.memfd_create(kind)
    os.pwrite(fd, path.read_bytes(), 0)
    with path.open("rb") as file:
        elf = ELFFile(file)
        found = {section.name: section for section in elf.iter_sections()}
        regions = [(0, HEADER_BYTES), (elf["e_phoff"], 56 * elf["e_phnum"])]
        regions += [(elf["e_shoff"] + 64 * number, 64) for number in range(elf["e_shnum"])]
        regions += [(each["sh_offset"], each["sh_size"]) for name, each in found.items() if name in REGIONS]
        for name in ("collect.constprop.0", "_PyGC_CollectNoFail"):
            symbol = next(iter((found.get(".symtab") or found[".dynsym"]).get_symbol_by_name(name) or ()), None)
            if symbol:
                regions.append((next(iter(elf.address_offsets(symbol["st_value"]))), symbol["st_size"]))
    return fd, regions


alterations = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.integers(0, 1 << 30),
        st.sampled_from([b"\0" * 8, b"\xff" * 8, b"\xff" * 4, b"\x7f", b"\1\0", struct.pack("<Q", 1 << 40)])
        | st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind) for kind, path in PATHS.items() if path.exists()])
@settings(max_examples=400)
@given(changes=alterations)
def test_no_altered_file_raises(kind, changes):
    fd, regions = real(kind)
    saved = []
    try:
        for region, place, value in changes:
            start, size = regions[region % len(regions)]
            at = start + place % max(size, 1)
            saved.append((at, os.pread(fd, len(value), at)))
            os.pwrite(fd, value, at)
        look(fd, VERSION[kind])
    finally:
        for at, data in reversed(saved):
            os.pwrite(fd, data, at)
    assert look(fd, VERSION[kind]).kind == ("usdt" if "static" in kind else "uprobe")


@pytest.mark.parametrize("kind", [kind for kind, path in PATHS.items() if path.exists()])
def test_no_cut_file_raises(kind):
    whole = PATHS[kind].read_bytes()
    ends = [0, 1, 6, 63, 64, 100, 1000, *(len(whole) * part // 16 for part in range(1, 16)), len(whole) - 1]
    assert ends == sorted(set(ends))
    with file_of((0, whole)) as fd:
        for end in reversed(ends):
            os.truncate(fd, end)
            look(fd, VERSION[kind])
    assert all(one < other for one, other in pairwise(ends))


def invented(*sections, count=None, names=0):
    """Return the parts of a file of sections, each (kind, link, content or (offset, size))."""
    headers, parts, at = [SECTION.pack(*[0] * 10)], [], 1 << 16
    for kind, link, content in sections:
        if isinstance(content, bytes):
            parts.append((at, content))
            offset, size = at, len(content)
            at += size
        else:
            offset, size = content
        headers.append(SECTION.pack(1, kind, 0, 0, offset, size, link, 0, 0, 24))
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 1 << 20, 1 << 20, 4096)
    first = struct.pack(
        "<6s10xHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01", 3, 62, 1, 0, 64, 128, 0, 64, 56, 1, 64, count or len(headers), names),
    )
    return [(0, first), (64, load), (128, b"".join(headers)), *parts]


def symbols(count, name_at=1, address=0x5000):
    return SYMBOL.pack(name_at, 2, 0, 1, address, 64) * count


NAMES = b"\0collect\0"


def test_an_invented_file_is_read():
    with file_of(*invented((SYMBOL_TABLE, 2, symbols(1)), (3, 0, NAMES))) as fd:
        assert look(fd) == Site("uprobe", 0x5000, 0, 0, 0, look(fd).generation)


HOSTILE = {
    "700,000 symbols of that name": invented((SYMBOL_TABLE, 2, symbols(699_000)), (3, 0, NAMES)),
    "nothing but that name": invented((SYMBOL_TABLE, 2, symbols(699_000, 9)), (3, 0, NAMES * (1 << 20))),
    "nothing but its clones": invented((SYMBOL_TABLE, 2, symbols(9)), (3, 0, b"collect.isra.1" * (1 << 20))),
    "a clone without end": invented((SYMBOL_TABLE, 2, symbols(9)), (3, 0, b"\0collect" + b".isra.1" * (1 << 20))),
    "more symbols than are read": invented((SYMBOL_TABLE, 2, (1 << 16, 17 << 20)), (3, 0, NAMES)),
    "symbols without end": invented((SYMBOL_TABLE, 2, (1 << 16, (1 << 64) - 1)), (3, 0, NAMES)),
    "symbols nowhere": invented((SYMBOL_TABLE, 2, ((1 << 64) - 8, 240)), (3, 0, NAMES)),
    "names of themselves": invented((SYMBOL_TABLE, 1, symbols(9))),
    "names nowhere": invented((SYMBOL_TABLE, 4_000_000_000, symbols(9)), (3, 0, NAMES)),
    "symbols of no address": invented((SYMBOL_TABLE, 2, symbols(9, address=(1 << 64) - 1)), (3, 0, NAMES)),
    "an odd table": invented((SYMBOL_TABLE, 2, symbols(9)[:-5]), (3, 0, NAMES)),
    "65,535 sections": invented((SYMBOL_TABLE, 2, symbols(9)), (3, 0, NAMES), count=65_535),
    "more sections than there are": invented((SYMBOL_TABLE, 2, symbols(9)), count=1024),
    "notes of no size": invented((NOTE, 0, bytes(1 << 18)), (3, 0, b"\0.note.stapsdt\0"), names=2),
    "a giant note": invented(
        (NOTE, 0, struct.pack("<III", 8, 0xFFFFFFFF, 3) + b"stapsdt\0"), (3, 0, b"\0.note.stapsdt\0"), names=2
    ),
    "notes without strings": invented(
        (NOTE, 0, (struct.pack("<III", 8, 24, 3) + b"stapsdt\0" + bytes(24)) * 5000),
        (3, 0, b"\0.note.stapsdt\0"),
        names=2,
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_crafted_file_costs_little(name):
    with file_of(*HOSTILE[name]) as fd:
        site = look(fd)
    assert (site is not None) == (name in {"700,000 symbols of that name", "an odd table"})
