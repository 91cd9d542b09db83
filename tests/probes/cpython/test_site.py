"""The collector can be probed where other readers of the same files say that it is, and where probes are hit."""

import contextlib
import os
import re
import subprocess

import pytest
from collecting import BUILT, DEBIAN, library, watched
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from probing import KIND, Uprobe, value

from perfwatch.probes.cpython.site import Argument, Site, collector_site, parse_argument

NEEDS_UPROBES = pytest.mark.skipif(not KIND.exists() or os.geteuid() != 0, reason="needs uprobes (root)")
FUNCTION = {"3.8": "collect.constprop.1", "3.9": "collect"}
SECOND_ARGUMENT = Argument("si", None, 4, is_signed=True)


def site_of(path, version):
    fd = os.open(path, os.O_RDONLY)
    try:
        return collector_site(fd, version)
    finally:
        os.close(fd)


def offset_by_elftools(path, name):
    with path.open("rb") as file:
        elf = ELFFile(file)
        tables = [each for each in elf.iter_sections() if isinstance(each, SymbolTableSection)]
        symbols = {symbol.name: symbol["st_value"] for table in tables for symbol in table.iter_symbols()}
        return next(iter(elf.address_offsets(symbols[name])))


def test_all_versions_are_looked_at():
    assert {"3.8", "3.9", "3.10", "3.11", "3.12", "3.13"} <= set(BUILT)


@pytest.mark.parametrize("version", BUILT)
def test_a_build_with_symbols_has_its_function(version):
    path = library(version)
    start = offset_by_elftools(path, FUNCTION.get(version, "gc_collect_main"))
    told = None if version in {"3.8", "3.13"} else SECOND_ARGUMENT
    assert site_of(path, version) == Site("uprobe", start, 0, 0, 0, told)


@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's Python 3.11")
def test_a_build_with_static_probes_has_both_and_their_semaphores():
    notes = subprocess.run(["readelf", "--notes", "--wide", DEBIAN], capture_output=True, text=True, check=True).stdout
    told = {}
    for name in ("start", "done"):
        block = re.search(rf"Name: gc__{name}\s+Location: (\w+), Base: \w+, Semaphore: (\w+)", notes)
        told[name] = [int(address, 16) for address in block.groups()]
    with DEBIAN.open("rb") as file:
        elf = ELFFile(file)
        offsets = {name: [next(iter(elf.address_offsets(at))) for at in found] for name, found in told.items()}
    site = site_of(DEBIAN, "3.11.2")
    assert (site.kind, [site.start_offset, site.start_semaphore]) == ("usdt", offsets["start"])
    assert [site.done_offset, site.done_semaphore] == offsets["done"]
    assert site.generation == Argument("sp", 112, 4, is_signed=True)


def test_a_stripped_build_without_static_probes_has_none(tmp_path):
    stripped = tmp_path / "libpython3.11.so"
    subprocess.run(["strip", "-o", stripped, library("3.11")], check=True)
    assert site_of(stripped, "3.11.7") is None


@NEEDS_UPROBES
@pytest.mark.parametrize("name", [*BUILT, "the distribution's"])
def test_probes_there_are_hit_once_a_collection(name):
    """With the generation, where that is told."""
    path, python = (library(name), BUILT[name]) if name in BUILT else (DEBIAN, DEBIAN)
    site = site_of(path, name if name in BUILT else "3.11")
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(watched(python))
        target.probe.__exit__(None, None, None)
        start = Uprobe(path, site.start_offset, target.pid, semaphore=site.start_semaphore)
        stack.callback(start.close)
        done_at = site.done_offset or site.start_offset
        done = Uprobe(path, done_at, target.pid, semaphore=site.done_semaphore, is_return=site.kind == "uprobe")
        stack.callback(done.close)
        target.do("gc.disable(); said = [gc.collect(generation) for generation in (0, 2, 1, 0, 2)]")
        target.do("gc.enable(); rubbish(9000); gc.disable()")
        noted = [one.generation for one in target.collections()]
        hits = start.hits()
        assert len(done.hits()) == len(hits)
    if site.generation:
        assert [value(site.generation, hit) for hit in hits] == noted
    # 3.12 and later may call it when nothing is due any more.
    assert len(hits) >= len(noted) >= 8
    if name not in {"3.12", "3.13"}:
        assert len(hits) == len(noted)


@pytest.mark.parametrize("version", ["", "3", "4.11.0", "3.11x", "3.9999999"])
def test_a_version_that_is_none_has_no_function(version):
    assert site_of(library("3.11"), version) is None


def test_the_copy_of_3_8_is_told_by_its_callers_not_by_its_number(tmp_path):
    """Swapped names: the right copy is still the one that the end of the interpreter does not call."""
    path = library("3.8")
    swapped = tmp_path / path.name
    image = path.read_bytes()
    for old, new in ((b"0", b"?"), (b"1", b"0"), (b"?", b"1")):
        image = image.replace(b"\0collect.constprop." + old + b"\0", b"\0collect.constprop." + new + b"\0")
    swapped.write_bytes(image)
    assert offset_by_elftools(swapped, "collect.constprop.0") == site_of(swapped, "3.8").start_offset


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        (b"-4@112(%rsp)", Argument("sp", 112, 4, is_signed=True)),
        (b"-4@-20(%rbp)", Argument("bp", -20, 4, is_signed=True)),
        (b"8@(%rax) -4@%edx", Argument("ax", 0, 8, is_signed=False)),
        (b"-4@%r13d", Argument("r13", None, 4, is_signed=True)),
        (b"-4@%esi", Argument("si", None, 4, is_signed=True)),
        (b"-4@$2", None),
        (b"8@8(%rax,%rdx,4)", None),
        (b"4@gc(%rip)", None),
        (b"-4@w20", None),
        (b"", None),
    ],
)
def test_an_argument_is_parsed_or_not_told(text, argument):
    assert parse_argument(text) == argument
