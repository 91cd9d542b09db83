"""Latencies of block devices by BPF, against the kernel's own counters of a device that nobody else uses."""

import os
import struct
import time

import pytest
from disking import await_idle, await_in_flight, go, one_write, own_disk, result, stalled, stalling_disk, writers
from ledgering import await_unloaded, loaded_programs

from perfwatch.probes.block.latency import SLOTS, BlockLatency, Histograms, object_file, parse_entry
from perfwatch.probes.disk import read_devices
from perfwatch.probes.errors import Unavailable


def counters(name):
    return next(device for device in read_devices().values() if device.name == name)


def histograms(latency, name):
    """Return a device's histograms; empty where it has completed nothing."""
    found = dict(latency.read())
    return found.get(counters(name).number, Histograms((), ()))


def bounds_us(counts):
    """Return the least and the most time that so many requests can have taken together."""
    least = sum(count << slot for slot, count in enumerate(counts) if slot)
    return least, sum(count << (slot + 1) for slot, count in enumerate(counts))


def test_an_entry_is_summed_over_the_cpus():
    one, other = [0] * 2 * SLOTS, [0] * 2 * SLOTS
    one[3], one[SLOTS + 1], other[3], other[5] = 7, 1, 2, 4
    device, found = parse_entry(struct.pack("=I", 254 << 20 | 17), struct.pack(f"={4 * SLOTS}Q", *one, *other))
    assert device == (254, 17)
    assert found == ((0, 0, 0, 9, 0, 4), (0, 1))
    assert found.with_(Histograms((1,), (0, 0, 5))) == ((1, 0, 0, 9, 0, 4), (0, 1, 5))
    assert found.with_(None) is found


def test_there_is_no_object_for_an_unknown_machine():
    with pytest.raises(Unavailable, match="vax"):
        object_file("vax")


@pytest.mark.ledger
def test_every_completed_request_is_counted_once_and_leaves_nothing():
    """The completions of diskstats, reads and writes, with flushes in between; their times between the bounds.

    At most one in a thousand is missed: a completion that interrupts the counting of another on its CPU, as the disk's
    may that of the loop device above it.
    """
    with own_disk() as (directory, device), BlockLatency() as latency:
        assert "on_block_done" in loaded_programs()
        file = directory / "data"
        file.write_bytes(bytes(4 << 20))
        os.sync()
        await_idle(device)
        before, first = counters(device), histograms(latency, device)
        with file.open("r+b", buffering=0) as opened:
            for _ in range(50):
                opened.write(bytes(8192))
                os.fsync(opened.fileno())  # data, journal, flush
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            assert sum(len(os.pread(opened.fileno(), 4096, place << 16)) for place in range(64)) == 64 * 4096
        with writers(directory, 4, 0.5, size=65536) as processes:
            go(processes)
            written = sum(result(process).count for process in processes)
        os.sync()
        await_idle(device)
        after, last = counters(device), histograms(latency, device)
    reads, writes = after.reads - before.reads, after.writes - before.writes
    for completed, seen in (
        (reads, sum(last.reads) - sum(first.reads)),
        (writes, sum(last.writes) - sum(first.writes)),
    ):
        assert completed - 1 - completed // 1000 <= seen <= completed
    assert reads >= 32  # some pages come together
    assert writes >= written + 50
    least_us, most_us = bounds_us([now - then for now, then in _paired(last.writes, first.writes)])
    assert least_us - 1000 <= (after.write_ns - before.write_ns) / 1000 <= most_us * 1.01
    await_unloaded()


@pytest.mark.ledger
def test_the_time_in_the_queue_is_counted():
    """Four requests that are held up for 0.7 s took from 2**19 to 2**20 us, those that came before them less."""
    with stalling_disk() as (directory, device), BlockLatency() as latency, one_write(device, 4) as stuck:
        with stalled(directory):
            go(stuck)
            await_in_flight(device.name, 4)
            time.sleep(0.7)
        for process in stuck:
            assert result(process).inside_ns > 700_000_000
        await_idle(device.name)
        found = histograms(latency, device.name).writes
    assert found[19] == 4
    assert len(found) == 20


def _paired(longer, shorter):
    return zip(longer, (*shorter, *(0,) * (len(longer) - len(shorter))), strict=True)
