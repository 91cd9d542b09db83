"""The committed BPF objects are what their source makes: rebuilt here, and compared byte for byte."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[3]
OBJECTS = [(name, machine) for name in ("ledger", "block") for machine in ("x86_64", "aarch64")]
COMPILER = (
    shutil.which("clang-14") and shutil.which("llvm-objcopy-14") and Path("/usr/include/bpf/bpf_helpers.h").exists()
)


def built(root, name, machine):
    return root / "probes" / name / f"{name}.{machine}.bpf.o"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with nothing but the sources and the Makefile, in which the objects were built."""
    root = tmp_path_factory.mktemp("bpf")
    shutil.copy(ROOT / "Makefile", root)
    for source in (ROOT / "probes").glob("*/*.bpf.[ch]"):
        folder = root / "probes" / source.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder)
    subprocess.run(["make", "--no-print-directory", "-s", "bpf"], cwd=root, check=True, timeout=120)
    return root


@pytest.mark.skipif(not COMPILER, reason="needs clang-14, llvm-14 and libbpf-dev")
@pytest.mark.parametrize(("name", "machine"), OBJECTS)
def test_it_is_what_the_source_makes_wherever_it_is_built(name, machine, elsewhere):
    assert built(elsewhere, name, machine).read_bytes() == built(ROOT, name, machine).read_bytes()


@pytest.mark.parametrize(("name", "machine"), OBJECTS)
def test_it_is_small_and_licensed_for_both(name, machine):
    file = built(ROOT, name, machine)
    assert file.stat().st_size < 180_000
    with file.open("rb") as stream:
        elf = ELFFile(stream)
        assert elf.get_section_by_name("license").data() == b"Dual MIT/GPL\0"
        sections = [section.name for section in elf.iter_sections()]
    assert not [section for section in sections if "sys_enter" in section or "sys_exit" in section]
    assert b"/work" not in file.read_bytes()


@pytest.mark.ledger
@pytest.mark.parametrize("name", ["ledger", "block"])
def test_it_loads_and_leaves_nothing(name):
    from ledgering import PROGRAMS, await_unloaded, loaded_programs

    from perfwatch.probes.readers.libbpf import BpfObject

    with BpfObject(built(ROOT, name, platform.machine()).read_bytes()) as loaded:
        loaded.load()
        loaded.attach()
        assert set(loaded_programs()) >= PROGRAMS[name]
    await_unloaded()
