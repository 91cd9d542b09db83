"""The committed BPF objects are what their source makes: rebuilt here, and compared byte for byte."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

ROOT = Path(__file__).parents[3]
MACHINES = ("x86_64", "aarch64")
COMPILER = (
    shutil.which("clang-14") and shutil.which("llvm-objcopy-14") and Path("/usr/include/bpf/bpf_helpers.h").exists()
)


def committed(machine):
    return ROOT / "probes" / "ledger" / f"ledger.{machine}.bpf.o"


@pytest.mark.skipif(not COMPILER, reason="needs clang-14, llvm-14 and libbpf-dev")
@pytest.mark.parametrize("machine", MACHINES)
def test_it_is_what_the_source_makes_wherever_it_is_built(machine, tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "probes" / "ledger").mkdir(parents=True)
    for source in (ROOT / "probes" / "ledger").glob("*.bpf.[ch]"):
        shutil.copy(source, tmp_path / "probes" / "ledger")
    subprocess.run(["make", "--no-print-directory", "-s", "bpf"], cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "probes" / "ledger" / f"ledger.{machine}.bpf.o").read_bytes() == committed(machine).read_bytes()


@pytest.mark.parametrize("machine", MACHINES)
def test_it_is_small_and_licensed_for_both(machine):
    assert committed(machine).stat().st_size < 60_000
    with committed(machine).open("rb") as file:
        elf = ELFFile(file)
        assert elf.get_section_by_name("license").data() == b"Dual MIT/GPL\0"
        sections = [section.name for section in elf.iter_sections()]
    assert not [name for name in sections if "sys_enter" in name or "sys_exit" in name]
    assert b"/work" not in committed(machine).read_bytes()


@pytest.mark.ledger
def test_it_loads_and_leaves_nothing():
    from ledgering import OURS, await_unloaded, loaded_programs

    from perfwatch.probes.libbpf import BpfObject

    with BpfObject(committed(platform.machine()).read_bytes()) as ledger:
        ledger.load()
        ledger.attach()
        assert set(loaded_programs()) >= OURS
    await_unloaded()
