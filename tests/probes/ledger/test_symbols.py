"""Kernel functions are named by their addresses, and nothing is where the kernel gives no addresses."""

import os

import pytest

from perfwatch.probes import roots
from perfwatch.probes.ledger.symbols import KernelSymbols

TABLE = """\
ffffffff81000000 T _stext
ffffffff81001000 t futex_wait_queue
ffffffff81002000 T schedule
ffffffff81003000 D jiffies
ffffffffc0001000 t nfs_wait_bit_killable\t[nfs]
"""


def symbols(tmp_path, text=TABLE):
    kallsyms = tmp_path / "kallsyms"
    kallsyms.write_text(text)
    return KernelSymbols(kallsyms)


def test_an_address_has_the_name_of_the_function_that_holds_it(tmp_path):
    table = symbols(tmp_path)
    assert table.name(0xFFFFFFFF81001000) == "futex_wait_queue"
    assert table.name(0xFFFFFFFF81001FFF) == "futex_wait_queue"
    assert table.name(0xFFFFFFFF80FFFFFF) is None
    assert table.name(0xFFFFFFFFC0001004) == "nfs_wait_bit_killable"
    assert table.name(0xFFFFFFFF81003004) == "schedule", "data is no function"


def test_the_sleeper_is_the_innermost_that_is_not_the_scheduler(tmp_path):
    table = symbols(tmp_path)
    assert table.sleeper([0xFFFFFFFF81002010, 0xFFFFFFFF81001010, 0xFFFFFFFF81000010]) == "futex_wait_queue"
    assert table.sleeper([0xFFFFFFFF81002010]) is None


def test_hidden_addresses_name_nothing(tmp_path):
    table = symbols(tmp_path, "0000000000000000 T _stext\n0000000000000000 T schedule\n")
    assert table.name(0xFFFFFFFF81001000) is None


def test_a_missing_table_names_nothing(tmp_path):
    table = KernelSymbols(tmp_path / "kallsyms")
    assert table.name(0xFFFFFFFF81001000) is None
    assert table.sleeper([0xFFFFFFFF81001000]) is None


def test_a_table_that_may_not_be_read_names_nothing(tmp_path):
    """A directory stands for it: root, who runs the tests, may read every file."""
    assert KernelSymbols(tmp_path).name(0xFFFFFFFF81001000) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the kernel's addresses")
def test_the_running_kernel_has_its_own_names():
    table = KernelSymbols(roots.KALLSYMS)
    lines = (line.split() for line in roots.KALLSYMS.read_text().splitlines())
    address = next((int(at, 16) for at, _, name, *_ in lines if name == "schedule"), 0)
    if not address:
        pytest.skip("this kernel hides its addresses")
    assert table.name(address + 1) == "schedule"
