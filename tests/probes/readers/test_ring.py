"""The ring buffer: events as the kernel lays them out, in memory that is made here. A real one: test_live_ring.py."""

import mmap
import struct

from hypothesis import given
from hypothesis import strategies as st

from perfwatch.probes.readers.ring import Ring

BUSY, DISCARDED = 1 << 31, 1 << 30


class Kernel:
    """Writes as kernel/bpf/ringbuf.c does: a header, the event, and up to the next eighth byte nothing."""

    def __init__(self, size: int, at: int = 0) -> None:
        self.size = size
        self.consumer, self.producer = (memoryview(bytearray(8)).cast("Q") for _ in range(2))
        self.consumer[0] = self.producer[0] = at
        self.data = mmap.mmap(-1, 2 * size)
        self.ring = Ring(self.consumer, self.producer, self.data)

    def reserve(self, event: bytes, flags: int = BUSY) -> int | None:
        """Return where the event is; None if there is no room for it."""
        at, length = self.producer[0], -(-(len(event) + 8) // 8) * 8
        if at + length - self.consumer[0] > self.size - 1:
            return None
        self._put(at, struct.pack("II", len(event) | flags, 0) + event)
        self.producer[0] = at + length
        return at

    def send(self, event: bytes) -> bool:
        return self.reserve(event, 0) is not None

    def submit(self, at: int, event: bytes, flags: int = 0) -> None:
        self._put(at, struct.pack("I", len(event) | flags))

    def _put(self, at: int, data: bytes) -> None:
        for place, byte in enumerate(data, at):  # the same page lies there twice
            self.data[place % self.size] = self.data[self.size + place % self.size] = byte


def test_events_come_in_order_whatever_their_length() -> None:
    kernel = Kernel(1024)
    events = [bytes([n]) * n for n in range(1, 30)]
    assert all(map(kernel.send, events))
    assert kernel.ring.take() == events
    assert kernel.ring.take() == []
    assert kernel.consumer[0] == kernel.producer[0]


def test_an_event_that_lies_across_the_end_is_whole() -> None:
    kernel = Kernel(64, at=40)
    assert kernel.send(b"from the last bytes to the first ones")
    assert kernel.ring.take() == [b"from the last bytes to the first ones"]


def test_what_is_discarded_is_passed_over() -> None:
    kernel = Kernel(256)
    kernel.send(b"before")
    kernel.reserve(b"never mind", DISCARDED)
    kernel.send(b"after")
    assert kernel.ring.take() == [b"before", b"after"]


def test_what_is_being_written_is_waited_for_and_so_is_all_behind_it() -> None:
    kernel = Kernel(256)
    kernel.send(b"one")
    at = kernel.reserve(b"two")
    kernel.send(b"three")
    assert at is not None
    assert kernel.ring.take() == [b"one"]
    assert kernel.ring.take() == []
    assert kernel.consumer[0] == at
    kernel.submit(at, b"two")
    assert kernel.ring.take() == [b"two", b"three"]


def test_one_that_was_being_written_and_is_discarded() -> None:
    kernel = Kernel(256)
    at = kernel.reserve(b"two")
    kernel.send(b"three")
    assert at is not None
    assert kernel.ring.take() == []
    kernel.submit(at, b"two", DISCARDED)
    assert kernel.ring.take() == [b"three"]


def test_a_full_ring_is_emptied_and_has_room_again() -> None:
    kernel = Kernel(256)
    sent = 0
    while kernel.send(b"%08d" % sent):
        sent += 1
    assert sent == 15  # of 16 bytes each; the last byte is never used
    assert kernel.ring.take() == [b"%08d" % n for n in range(sent)]
    assert kernel.send(b"again")
    assert kernel.ring.take() == [b"again"]


EVENTS = st.lists(st.tuples(st.binary(max_size=60), st.sampled_from([0, DISCARDED])), max_size=60)


@given(EVENTS, st.integers(0, 1 << 40))
def test_nothing_is_lost_however_often_it_wraps(events: list[tuple[bytes, int]], laps: int) -> None:
    kernel = Kernel(128, at=laps * 8)
    got = []
    for event, flags in events:
        if kernel.reserve(event, flags) is None:
            got += kernel.ring.take()
            assert kernel.reserve(event, flags) is not None
    got += kernel.ring.take()
    assert got == [event for event, flags in events if not flags]
