"""Another process's memory, as that process knows it itself."""

import os
import shutil
import subprocess
import sys

import pytest
from ledgering import script
from sampling import open_descriptors

from perfwatch.probes.cpython.memory import MAX_BYTES, MAX_PLACES, Memory, Places
from perfwatch.probes.errors import Vanished

HOLD = """
import ctypes, mmap, os, sys
text = b"".join(b"%08x" % number for number in range(4096))
page = mmap.mmap(-1, 3 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
page.write(text[:3 * 4096])
place = ctypes.addressof(ctypes.c_char.from_buffer(page))
ctypes.CDLL(None).munmap(ctypes.c_void_p(place + 4096), 4096)
print(place)
if sys.stdin.readline():
    os.execv(sys.executable, [sys.executable, "-uc", "import sys; print('executed'); sys.stdin.read()"])
"""
TEXT = b"".join(b"%08x" % number for number in range(4096))


@pytest.fixture(name="held")
def hold():
    """Yield the memory of a process whose second of three known pages is not mapped, and their address."""
    with script(HOLD) as (process, place):
        memory = Memory(process.pid)
        yield memory, int(place), process
        memory.close()


def test_what_lies_there_is_read(held):
    memory, place, _ = held
    assert memory.read(place + 8, 16) == b"0000000100000002"
    assert memory.word(place) == int.from_bytes(b"00000000", "little")
    assert memory.read_each([(place, 8), (place + 80, 8)]) == [b"00000000", b"0000000a"]


@pytest.mark.parametrize("size", [0, -1, 4097, MAX_BYTES + 1, 1 << 70])
def test_what_is_not_all_mapped_or_too_much_is_none(size, held):
    memory, place, _ = held
    assert memory.read(place, size) is None
    assert memory.read_each([(place, 4), (place, size), (place, 8)]) == [b"0000", None, b"00000000"]


@pytest.mark.parametrize("address", [0, 1, -1, (1 << 47) - 1, 1 << 47, 1 << 63, (1 << 64) - 1, 1 << 64])
def test_an_address_that_cannot_be_is_none(address, held):
    memory, place, _ = held
    assert memory.read(address, 8) is None
    assert memory.word(address) is None
    assert memory.read_each([(address, 8), (place, 8), (address, 8)]) == [None, b"00000000", None]


def test_gaps_cost_only_their_own_places(held):
    memory, place, _ = held
    places = [(place + page * 4096 + 8 * number, 8) for number in range(100) for page in range(3)]
    assert memory.read_each(places) == [
        None if page == 1 else TEXT[page * 4096 + 8 * number :][:8] for number in range(100) for page in range(3)
    ]
    assert memory.read_each([(place, 8)] * (MAX_PLACES + 7)) == [b"00000000"] * (MAX_PLACES + 7)


def test_places_are_read_again_also_joined(held):
    memory, place, _ = held
    one, other = Places([(place, 8), (place + 8, 8)]), Places([(place + 16, 8)])
    gap, nowhere, many = (
        Places([(place, 8), (place + 4096, 8)]),
        Places([(0, 8)]),
        Places([(place, 8)] * (MAX_PLACES + 1)),
    )
    for _ in range(2):
        assert memory.read_all([one, gap, other, nowhere, many, one]) == [
            b"0000000000000001",
            None,
            b"00000002",
            None,
            None,
            b"0000000000000001",
        ]
    assert memory.read_all([Places.joined([one, other])]) == [b"000000000000000100000002"]
    assert memory.read_all([Places.joined([one, nowhere])]) == [None]
    assert memory.read_all([Places.joined([one] * MAX_PLACES)]) == [None]
    assert memory.read_all([one] * MAX_PLACES) == [b"0000000000000001"] * MAX_PLACES
    assert memory.read_all([]) == []


def test_the_end_of_a_process_is_noticed(held):
    memory, place, process = held
    memory.check()
    process.kill()
    process.wait()
    for look in (memory.check, lambda: memory.read(place, 8), lambda: memory.read_each([(place, 8)])):
        with pytest.raises(Vanished):
            look()


def test_another_program_in_the_same_process_is_not_read(held):
    memory, place, process = held
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "executed\n"
    with pytest.raises(Vanished):
        memory.check()
    with pytest.raises(Vanished):
        memory.read(place, 8)


def test_nothing_stays_open():
    before = open_descriptors()
    memory = Memory(os.getpid())
    assert open_descriptors() != before
    memory.close()
    memory.close()
    assert open_descriptors() == before
    assert memory.read(4096, 8) is None
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(Vanished):
        Memory(process.pid)


DENIED = """
import os, sys
from perfwatch.probes.cpython.memory import Memory
from perfwatch.probes.errors import Unavailable
class Other(Memory):
    def __init__(self, pid):
        super().__init__(os.getpid())
        self.pid = pid
for look in (lambda pid: Memory(pid), lambda pid: Other(pid).read_each([(1 << 20, 8)])):
    try:
        look(int(sys.argv[1]))
    except Unavailable as error:
        print(error.reason)
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to become another user"
)
def test_another_users_memory_may_not_be_read():
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    pid = str(os.getpid())
    done = subprocess.run([*command, sys.executable, "-c", DENIED, pid], capture_output=True, text=True, cwd="/")
    if "Permission denied" in done.stderr or "ModuleNotFoundError" in done.stderr:
        pytest.skip("the interpreter of the tests may not be run by another user")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"/proc/{pid}/mem may not be read by this user",
        f"the memory of process {pid} may not be read (Operation not permitted)",
    ]
