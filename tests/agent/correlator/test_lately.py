"""What the pages show in detail: each CPU, listening address, connection and file, over the last 10 s."""

import around as a
import coding as c
import making as m
import msgspec
import pytest
from judging import view_of

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.correlator.seconds import KEPT, Seconds
from perfwatch.agent.model_lately import CpuUse, Lately
from perfwatch.probes.samples import ProcessIo


def lately(*records):
    return view_of(records).lately


def own_io(at_ms, pid=4313, **fields):
    return ProcessIo(
        **({"at_ns": a.at(at_ms), "pid": pid, "read_bytes": 0, "written_bytes": 0, "delay_ns": None} | fields)
    )


def test_nothing_is_said_of_what_was_not_measured():
    assert lately(m.served(1, 0, ms=5)) == Lately()


def test_each_cpu_by_what_it_did():
    first = a.cpu(0, (0, 0))
    times = (
        msgspec.structs.replace(
            first.cpus[0], user_ns=3000 * m.MS, nice_ns=1000 * m.MS, system_ns=1500 * m.MS, softirq_ns=500 * m.MS,
            iowait_ns=2000 * m.MS, idle_ns=first.cpus[0].idle_ns + 1500 * m.MS, steal_ns=500 * m.MS,
        ),
        msgspec.structs.replace(first.cpus[1], idle_ns=first.cpus[1].idle_ns + 10_000 * m.MS),
    )  # fmt: skip
    one, other = lately(first, msgspec.structs.replace(first, at_ns=a.at(10_000), cpus=times)).cpus
    assert one == CpuUse(user=0.4, system=0.2, steal=0.05, iowait=0.2)
    assert one.busy == pytest.approx(0.65)
    assert other == CpuUse(0.0, 0.0, 0.0, 0.0)


def test_doors_say_who_waits_now_lately_and_at_most():
    records = [
        a.listener(0, 100, limit=128),
        a.sockets(13_000, a.socket(500, "listening", recv_q=9, send_q=128, drops=5)),
        a.sockets(20_000, a.socket(500, "listening", recv_q=3, send_q=128, drops=7), a.socket(1)),
        a.listener(20_100, 4, "unix:/run/shop.sock", recv_q_bytes=77, limit=64),
    ]
    door, unread = lately(*records).doors
    assert (door.address, door.now, door.lately, door.deepest, door.limit) == ("127.0.0.1:8000", 3, 9, 100, 128)
    assert door.turned_away == 2
    assert (unread.address, unread.now, unread.lately, unread.limit) == ("unix:/run/shop.sock", None, 4, 64)
    assert unread.unread_bytes == 77


def test_of_several_sockets_with_one_address_the_fullest_is_told():
    listening = [a.socket(number, "listening", recv_q=number, send_q=128) for number in (2, 7, 5)]
    (door,) = lately(a.sockets(0, *listening)).doors
    assert (door.now, door.limit) == (7, 128)


def test_progress_is_what_grew_within_the_last_seconds():
    before = a.socket(1, retransmits=3, rwnd_limited_ns=0, sndbuf_limited_ns=0, sent_bytes=1000, received_bytes=50)
    after = msgspec.structs.replace(
        before, retransmits=5, rwnd_limited_ns=4000 * m.MS, sent_bytes=9000, received_bytes=50
    )
    early = msgspec.structs.replace(before, retransmits=0, sent_bytes=0)
    (one,) = lately(a.sockets(0, early), a.sockets(12_000, before), a.sockets(20_000, after)).progress
    assert (one.cookie, one.passed_s, one.retransmits, one.peer_full, one.buffer_full) == (1, 8.0, 2, 0.5, 0.0)
    assert (one.sent_bytes_s, one.received_bytes_s) == (1000.0, 0.0)


def test_what_was_read_once_has_made_no_progress_that_is_known():
    (one,) = lately(a.sockets(0, a.socket(7)), a.sockets(1000, a.socket(1, retransmits=3, sent_bytes=9))).progress
    assert (one.passed_s, one.retransmits, one.peer_full, one.sent_bytes_s) == (0.0, None, None, None)


def test_bytes_stand_since_the_first_reading_that_found_some_without_a_break():
    queues = [(5, 5), (0, 5), (5, 5), (9, 5), (1, 0)]
    readings = [a.sockets(n * 1000, a.socket(1, recv_q=recv, send_q=send)) for n, (recv, send) in enumerate(queues)]
    (one,) = lately(*readings).progress
    assert (one.unread_s, one.unacked_s) == (2.0, 0.0)
    (one,) = lately(*readings[:4]).progress
    assert (one.unread_s, one.unacked_s) == (1.0, 3.0)


def test_sums_over_all_sockets_are_those_of_the_last_reading():
    taken = msgspec.structs.replace(
        a.sockets(0, a.socket(1)), by_state=(("ESTABLISHED", 900), ("CLOSE_WAIT", 3)), recv_q_bytes=5, send_q_bytes=6
    )
    told = lately(taken)
    assert (told.socket_states, told.unread_bytes, told.unacked_bytes) == (taken.by_state, 5, 6)


def test_the_network_tells_what_it_turned_away_and_sent_again():
    told = lately(
        a.network(0),
        a.network(10_000, sent_segments=1000, retransmitted_segments=20, listen_overflows=2, listen_drops=3),
    ).network
    assert (told.retransmitted, told.overflows, told.refused, told.interface_errors) == (0.02, 2, 3, 0)


def test_the_target_by_process_the_one_that_moved_most_first():
    quiet, busy = lately(
        own_io(0, 4312, read_bytes=None),
        own_io(0),
        own_io(10_000, 4312, read_bytes=None, written_bytes=5000, delay_ns=None),
        own_io(10_000, read_bytes=40_000, written_bytes=20_000, delay_ns=None),
    ).own_io[::-1]
    assert (busy.pid, busy.read_bytes_s, busy.written_bytes_s, busy.waited) == (4313, 4000.0, 2000.0, None)
    assert (quiet.pid, quiet.read_bytes_s, quiet.written_bytes_s) == (4312, None, 500.0)


def test_time_that_threads_waited_for_disks_is_told_where_it_is_counted():
    (one,) = lately(own_io(0, delay_ns=0), own_io(4000, delay_ns=10_000 * m.MS)).own_io
    assert one.waited == 2.5


def test_open_files_each_once_those_that_are_written_first():
    first, second = a.files(0, pid=1), a.files(0, pid=2)
    written = msgspec.structs.replace(first.files[0], path="/var/lib/z.db", is_written=True)
    read = msgspec.structs.replace(first.files[0], path="/srv/a.json", is_written=False)
    told = lately(
        msgspec.structs.replace(first, files=(read, written)), msgspec.structs.replace(second, files=(written,))
    ).files
    assert told == (written, read)


def test_a_disk_tells_its_requests_and_how_long_each_side_took():
    first = a.disk(0)
    second = msgspec.structs.replace(
        a.disk(10_000, writes=1000, write_ms=25_000), reads=500, read_ns=1000 * m.MS, in_flight=3
    )
    (one,) = view_of((first, second)).queues.disks
    assert (one.reads_s, one.writes_s, one.read_ms, one.write_ms, one.in_flight) == (50.0, 100.0, 2.0, 25.0, 3)
    assert one.await_ms == pytest.approx(26_000 / 1500)


def test_pressure_tells_for_how_long_all_tasks_waited():
    first = a.pressure(0, cpu=0, memory=0, io=0)
    second = msgspec.structs.replace(a.pressure(10_000, cpu=0, memory=0, io=2000), io_full_ns=1000 * m.MS)
    (one,) = view_of((msgspec.structs.replace(first, io_full_ns=0), second)).queues.pressure
    assert (one.io, one.io_full, one.memory_full) == (0.2, 0.1, None)


# --- second by second


def test_seconds_of_a_rate_are_all_that_it_is_the_rate_of():
    seconds = Seconds()
    seconds.put(0.5, 3_000_000_000, 0)
    seconds.put(0.9, 5_000_000_000)
    seconds.put(0.2, 5_900_000_000)
    assert seconds.until(6_500_000_000) == seconds.until(9_900_000_000) == (0.5, 0.5, 0.5, None, 0.9)
    assert seconds.until(10_000_000_000) == (0.5, 0.5, 0.5, None, 0.9, None, None, None, None, None)
    assert Seconds().until(10_000_000_000) == ()


def test_seconds_are_bounded_wherever_time_goes():
    seconds = Seconds()
    for at_s in (0, 10**6, 5, 2 * 10**9, *range(1000)):
        seconds.put(1.0, at_s * 10**9, -(10**18))
        assert len(seconds._by_second) <= 3 * KEPT
    assert seconds.until(999 * 10**9) == (1.0,) * KEPT


def test_the_last_seconds_of_disks_pressure_and_sockets():
    records = [
        *(a.disk(n * 1000, busy_ms=n * 300) for n in range(4)),
        *(a.disk(n * 1000, "vdb", busy_ms=n * 100) for n in range(4)),
        *(a.pressure(n * 1000, cpu=n * 50, io=n * 200) for n in range(4)),
        *(a.pressure(n * 1000, "/shop", io=n * 900) for n in range(4)),
        *(a.sockets(n * 1000, a.socket(1, "listening", recv_q=n), a.socket(2)) for n in range(4)),
    ]
    told = lately(*records).seconds
    assert told.disk_busy[-3:] == (0.3,) * 3
    assert told.io_pressure[-3:] == (0.2,) * 3
    assert told.cpu_pressure[-3:] == (0.05,) * 3
    assert told.accept_queue[-3:] == (1.0, 2.0, 3.0)
    assert told.standing_bytes[-3:] == (0.0,) * 3


# --- what requests waited for


def fsynced(number, *, ms=(40.0, 60.0)):
    code = m.stacks((c.own("append", "journal.py", 41),))
    waits = tuple(m.wait("disk", each, call="fsync", stack=0) for each in ms)
    return m.served(number, number, disk=600, target="/order", waits=waits, code=code)


def test_waits_for_the_disk_by_call_and_place():
    view = view_of((fsynced(1), fsynced(2), m.served(3, 3, disk=600, waits=(m.wait("disk", 9, call=None),))))
    most, fault = view.disk_waits
    assert (most.what, most.requests, most.waits, most.total_ms, most.longest_ms) == ("fsync", 2, 4, 200.0, 60.0)
    assert "append" in most.place
    assert "journal.py:41" in most.place
    assert most.endpoints == (("GET /order", 2),)
    assert (fault.what, fault.place, fault.total_ms) == ("page fault", None, 9.0)
    assert view.permits == ()


def test_waits_for_a_pool_by_what_it_gives():
    waits = (m.wait("lock", 80, detail="pool: a connection of psycopg_pool in getconn()"), m.wait("lock", 5))
    (one,) = view_of(m.served(n, n, lock=600, waits=waits) for n in (1, 2)).permits
    assert (one.what, one.place, one.requests, one.waits) == ("a connection of psycopg_pool", None, 2, 2)
    assert (one.total_ms, one.longest_ms) == (160.0, 80.0)


def test_a_request_that_is_corrected_is_counted_once():
    correlator = Correlator(m.info())
    for record in (fsynced(1), fsynced(1, ms=(70.0,))):
        correlator.feed(record)
        view = correlator.view()
    (one,) = view.disk_waits
    assert (one.requests, one.waits, one.total_ms) == (1, 1, 70.0)
