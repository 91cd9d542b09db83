"""What a write to the flag was, by its instruction: as compilers made them, found in real interpreters."""

import pytest

from perfwatch.probes.pauses.writing import Writers, parse_writer

REAL = {
    "c7 83 50 03 00 00 01 00 00 00": "set",  # movl $0x1,0x350(%rbx): 3.11
    "c7 83 50 03 00 00 00 00 00 00": "clear",
    "41 c7 84 24 20 02 00 00 01 00 00 00": "set",  # movl $0x1,0x220(%r12): 3.8
    "41 c7 84 24 20 02 00 00 00 00 00 00": "clear",
    "c7 05 10 20 30 00 01 00 00 00": "set",  # movl $0x1,0x302010(%rip)
    "c7 43 48 00 00 00 00": "clear",  # movl $0x0,0x48(%rbx)
    "f0 0f b1 13": "set",  # lock cmpxchg %edx,(%rbx): 3.13
    "f0 44 0f b1 83 b0 1d 00 00": "set",  # lock cmpxchg %r8d,0x1db0(%rbx)
    "87 01": "clear",  # xchg %eax,(%rcx): 3.13
    "87 83 b0 1d 00 00": "clear",
    "89 83 50 03 00 00": None,  # mov %eax,0x350(%rbx): the value is in a register
    "c7 83 50 03 00 00 02 00 00 00": None,
    "": None,
}


@pytest.mark.parametrize("code", REAL)
def test_an_instruction_tells_what_it_writes(code):
    assert parse_writer(bytes.fromhex("90" * 8 + code)[-11:]) == REAL[code]


class Code:
    """A memory of one instruction; counts how often it is read."""

    def __init__(self, code):
        self.code, self.reads = code, 0

    def read(self, address, size):
        self.reads += 1
        return self.code[-size:] if address > 0 else None


def test_an_instruction_is_read_once():
    memory = Code(bytes.fromhex("c783500300000100000000c7835003000001000000"))
    writers = Writers(memory)
    assert [writers.what(4096), writers.what(4096)] == ["set", "set"]
    assert memory.reads == 1


def test_what_cannot_be_read_is_not_known():
    writers = Writers(Code(b""))
    assert writers.what(3) is None


def test_a_process_that_writes_everywhere_is_not_read_for_ever():
    memory = Code(bytes.fromhex("90" * 9 + "8701"))
    writers = Writers(memory)
    assert {writers.what(4096 + place) for place in range(1000)} == {"clear", None}
    assert memory.reads <= 64
