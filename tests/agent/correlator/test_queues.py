"""What a view says of the queues and resources: over the last 10 s, and since the first record."""

import around as a
import making as m
import pytest

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.model_queues import Queues
from perfwatch.probes.records import ProcessSample


def view_of(*records, **changes):
    correlator = Correlator(m.info(**changes))
    for record in records:
        correlator.feed(record)
    return correlator.view()


def line(lines, resource):
    return next((one for one in lines if one.resource == resource), None)


def test_nothing_is_said_of_what_was_not_measured():
    view = view_of(m.served(1, 0, ms=5))
    assert view.queues == view.queues_overall == Queues()
    assert view.saturation == view.saturation_overall == ()
    assert view.own_cost is None
    assert view.slowed_probes == ()


def test_the_run_queue_lately_and_overall():
    """20 crowded seconds, then 20 quiet ones."""
    crowded = [a.cpu(n * 1000, (n * 1000, n * 1000), runnable=(6, 6), top=(a.user("hog", 1500),)) for n in range(21)]
    quiet = [
        a.cpu(20_000 + n * 1000, (20_000 + n * 100,) * 2, runnable=(1, 2), top=(a.user("web", 100, 5),))
        for n in range(1, 21)
    ]
    view = view_of(*crowded, *quiet)
    lately, overall = view.queues.run_queue, view.queues_overall.run_queue
    assert (lately.cpus, lately.waiting_mean, lately.waiting_median, lately.waiting_max) == (2, 0, 0, 0)
    assert [(one.name, one.cpus) for one in lately.top] == [("web", 0.1)]
    assert overall.waiting_mean == pytest.approx(4 * 42 / 82)
    assert (overall.waiting_median, overall.waiting_max) == (4, 4)
    assert [(one.name, one.cpus) for one in overall.top] == [("hog", 0.75), ("web", 0.05)]
    assert line(view.saturation, "cpu").utilisation == pytest.approx(0.1)
    assert line(view.saturation, "cpu").saturation == 0
    assert line(view.saturation_overall, "cpu").utilisation == pytest.approx(0.55)
    assert line(view.saturation_overall, "cpu").saturation == pytest.approx(42 / 82)


@pytest.mark.parametrize(("runnable", "median"), [((2, 3, 9), 1.0), ((2, 3, 4, 9), 1.5), ((3,), 1.0)])
def test_the_median_is_that_of_the_readings(runnable, median):
    assert view_of(a.cpu(0), a.cpu(1000, runnable=runnable)).queues.run_queue.waiting_median == median


def test_the_cpu_line_tells_steal_quota_and_pressure():
    view = view_of(
        a.cpu(0),
        a.pressure(0, cpu=0),
        a.quota(0, 0, 0, 0),
        a.cpu(10_000, (4000, 4000), steal_ms=500, runnable=(2, 5)),
        a.pressure(10_000, cpu=1500),
        a.quota(10_000, 2000, 60, 1600),
    )
    assert line(view.saturation, "cpu").text == (
        "45 % busy, 1.5 threads waited, steal 5 %, quota of 0.2 CPUs used up in 60 % of its periods, pressure 15.0 %"
    )
    assert line(view.saturation, "cpu").errors is None


def test_without_the_cpu_probe_the_hosts_totals_stand():
    view = view_of(m.host(0, 0, 0), m.host(1000, 500, 1500))
    assert line(view.saturation, "cpu").text == "25 % busy"
    assert line(view.saturation, "memory").text == "25 % used"


def test_cgroups_say_what_they_may_use_and_were_denied():
    view = view_of(
        a.quota(0, 0, 0, 0),
        a.cgroup(0, path="/", cpu_ns=0),
        a.quota(10_000, 2000, 60, 8000),
        a.cgroup(10_000, path="/", cpu_ns=9000 * m.MS),
    )
    root, shop = view.queues.cgroups
    assert (root.path, root.quota_cpus, root.used_cpus, root.throttled) == ("/", None, 0.9, None)
    assert (shop.quota_cpus, shop.used_cpus, shop.throttled, shop.throttled_ms_s) == (0.2, 0.2, 0.6, 800.0)


def test_disks_are_listed_by_how_busy_they_are():
    view = view_of(
        a.files(0),
        a.files(0, "vda", pid=4314, mount="/"),
        a.disk(0),
        a.disk(0, "vdb"),
        a.movers(0),
        a.disk(10_000, busy_ms=9000, queue_ms=25_000, writes=1000, write_ms=25_000, written=500 * a.MB),
        a.disk(10_000, "vdb", busy_ms=100),
        a.movers(10_000, a.mover("dd", 400 * a.MB)),
    )
    vda, vdb = view.queues.disks
    assert (vda.device, vda.utilisation, vda.depth, vda.await_ms) == ("vda", 0.9, 2.5, 25.0)
    assert vda.written_bytes_s == 50 * a.MB
    assert vda.file_systems == ("/ (ext4)", "/var/lib (ext4)")
    assert (vdb.device, vdb.await_ms, vdb.p99_ms) == ("vdb", None, None)
    assert [(one.name, one.written_bytes_s) for one in view.queues.disk_users] == [("dd", 40 * a.MB)]
    told = line(view.saturation, "disk")
    assert (told.utilisation, told.saturation, told.errors) == (0.9, pytest.approx(0.6), None)
    assert told.text == "vda 90 % busy, 2.5 requests under way, 25.0 ms each"


def test_the_99th_percentile_is_the_bound_of_its_bucket():
    many = a.latency(10_000, reads=(0, 0, 970), writes=(0, 0, 0, 0, 0, 30))
    view = view_of(a.disk(0), a.latency(0), a.disk(10_000), many)
    assert view.queues.disks[0].p99_ms == 0.064


def test_memory_says_how_much_is_left_and_what_it_costs():
    view = view_of(
        a.memory(0, direct_reclaims=0, swapped_in_bytes=0, oom_kills=1),
        a.memory(5000, direct_reclaims=0, swapped_in_bytes=0, oom_kills=1),
        a.memory(10_000, available=2000 * a.MB, direct_reclaims=30, swapped_in_bytes=20 * a.MB, oom_kills=2),
    )
    told = line(view.saturation, "memory")
    assert (told.utilisation, told.saturation, told.errors) == (0.75, 0.5, 1)
    assert told.text == (
        "75 % used, 2.0 GB available, 3.0 direct reclaims/s, 2.0 MB/s read back from swap, "
        "1 time a process was killed for want of it"
    )


def test_memory_pressure_is_the_better_measure_where_there_is_one():
    view = view_of(a.memory(0), a.pressure(0, memory=0), a.memory(10_000), a.pressure(10_000, memory=250))
    told = line(view.saturation, "memory")
    assert (told.saturation, told.text) == (0.025, "25 % used, 6.0 GB available, pressure 2.5 %")
    assert [(one.scope, one.cpu, one.memory) for one in view.queues.pressure] == [("host", None, 0.025)]


def test_the_network_by_its_speed_what_was_lost_and_turned_away():
    view = view_of(
        a.network(0),
        a.network(
            10_000,
            sent_segments=1000,
            retransmitted_segments=20,
            received_bytes=125 * a.MB,
            sent_bytes=10 * a.MB,
            listen_overflows=2,
            listen_drops=3,
            interface_drops=1,
            speed_bits=10**9,
        ),
    )
    told = line(view.saturation, "network")
    assert (told.utilisation, told.saturation, told.errors) == (0.1, 0.02, 4)
    assert told.text == (
        "12 MB/s in, 1.0 MB/s out (without loopback), 10 % of its interfaces' speed, 2.0 % of segments sent again, "
        "3 dropped at full queues, 1 lost or damaged at interfaces"
    )


def test_interfaces_that_do_not_say_their_speed_have_no_utilisation():
    assert line(view_of(a.network(0), a.network(10_000)).saturation, "network").utilisation is None


def test_sockets_as_of_the_last_reading_listeners_first():
    busy = [a.socket(n, recv_q=n) for n in range(1, 100)]
    view = view_of(a.sockets(0, a.socket(7)), a.sockets(1000, *busy, a.socket(500, "listening", recv_q=3, send_q=128)))
    assert [one.cookie for one in view.queues.sockets[:3]] == [500, 99, 98]
    assert len(view.queues.sockets) == 64
    assert view.queues.socket_count == 100


def test_threads_by_state_and_their_wait_for_a_cpu():
    view = view_of(
        a.threads(0, a.thread(1, run_ms=0, wait_ms=0)),
        a.threads(500, a.thread(9, "D"), pid=4314),
        a.threads(1000, a.thread(1, "R", run_ms=300, wait_ms=100), a.thread(2, "S", run_ms=500, wait_ms=900)),
        a.cgroup(0, pids=0, pids_limit=100),
        a.cgroup(1000, pids=40, pids_limit=100),
    )
    assert view.queues.threads == (("D", 1), ("R", 1), ("S", 1))
    told = line(view.saturation, "threads")
    assert (told.utilisation, told.saturation, told.errors) == (0.4, 0.1, None)
    assert told.text == f"3 threads, 0.1 waited for a CPU on average, 40 of 100 tasks allowed in {a.CGROUP}"
    unsaid = view_of(a.threads(0, a.thread(1)), a.threads(1000, a.thread(1)))
    assert line(unsaid.saturation, "threads").text == "1 thread"
    later = view_of(a.threads(0, a.thread(1)), m.host(20_000, 0, 0))
    assert later.queues.threads == ()


def test_short_waits_of_threads_that_want_a_cpu_for_moments_only_are_no_alarm():
    """Half of the time that it wanted a CPU, and yet next to nothing."""
    states = [a.threads(n * 1000, a.thread(1, run_ms=n * 30, wait_ms=n * 30)) for n in range(5)]
    told = line(view_of(*states).saturation, "threads")
    assert (told.saturation, told.text) == (0.03, "1 thread, 0.0 waited for a CPU on average")


def test_threads_of_several_processes_that_wait_are_added_up():
    states = [
        a.threads(n * 1000, a.thread(1, run_ms=0, wait_ms=n * 800), pid=pid) for n in range(3) for pid in (4312, 4313)
    ]
    told = line(view_of(*states).saturation, "threads")
    assert (told.saturation, told.text) == (1.0, "2 threads, 1.6 waited for a CPU on average")


def test_a_cgroup_of_version_1_tells_whose_memory_that_is():
    """Its controllers have cgroups of their own, and one CPU cgroup may hold processes of two memory cgroups."""
    states = [
        a.cgroup(at_ms, version=1, path="/", memory_path=path, limit_hits=hits * at_ms, pids=1, pids_limit=10)
        for at_ms in (0, 1000)
        for path, hits in (("/shop", 1), ("/jobs", 2))
    ]
    view = view_of(*states)
    assert [(one.path, one.memory_path, one.limit_hits) for one in view.queues.cgroups] == [
        ("/", "/jobs", 2000),
        ("/", "/shop", 1000),
    ]
    assert line(view.saturation, "threads").text == "1 of 10 tasks allowed in its pids cgroup"


def test_a_memory_limit_that_was_met_is_told_beside_the_memory_of_the_host():
    """Which may have plenty."""
    limit = {"memory_limit_bytes": 72_000_000}
    view = view_of(
        a.memory(0), a.memory(1000), a.cgroup(0, limit_hits=0, **limit), a.cgroup(1000, limit_hits=9, **limit)
    )
    told = line(view.saturation, "memory").text
    assert told == f"25 % used, 6.0 GB available, limit of 72 MB of {a.CGROUP} met 9 times"


def test_files_of_the_process_that_is_nearest_to_its_limit():
    samples = [
        ProcessSample(m.START, 4312, "target", 0, 1, 1, 900, 65_536),
        ProcessSample(m.START, 4313, "target", 0, 1, 1, 512, 1024),
        ProcessSample(m.START, 99, "perfwatch", 0, 1, 1, 1000, 1024),
    ]
    told = line(view_of(*samples).saturation, "files")
    assert (told.utilisation, told.text) == (0.5, "512 descriptors open in process 4313, of 1024")


def test_connections_by_side_and_corrections_replace():
    view = view_of(
        a.connection(0, 1, setup_ns=m.MS),
        a.connection(100, 1, setup_ns=m.MS, opened_ns=a.at(0), tls_ns=6 * m.MS, resumed=False),
        a.connection(200, 2, setup_ns=3 * m.MS, tls_ns=2 * m.MS, resumed=True, retransmits=2),
        a.connection(60_000, 3, role="connected", reset=True),
    )
    [lately] = view.queues.connections
    assert (lately.role, lately.count, lately.resets, lately.setup_ms) == ("connected", 1, 1, None)
    accepted, connected = view.queues_overall.connections
    assert connected == lately
    assert (accepted.count, accepted.setup_ms, accepted.tls_count) == (2, 2.0, 2)
    assert (accepted.tls_resumed, accepted.tls_ms, accepted.retransmits) == (1, 4.0, 2)


def test_a_counter_that_starts_again_is_no_negative_rate():
    view = view_of(
        a.disk(0, busy_ms=90_000),
        a.disk(1000, busy_ms=90_900),
        a.disk(2000, busy_ms=100),
        a.disk(3000, busy_ms=600),
    )
    assert view.queues_overall.disks[0].utilisation == view.queues.disks[0].utilisation == 0.5


def test_what_perfwatch_itself_costs():
    view = view_of(
        a.collector(0, 0, a.cost("sockets", 0), a.cost("host", 0)),
        a.collector(1000, 50, a.cost("sockets", 40, 4000), a.cost("host", 1)),
        a.collector(2000, 60, a.cost("sockets", 45, 4000), a.cost("host", 3)),
    )
    assert (view.own_cost.cpu, view.own_cost.cpu_mean, view.own_cost.budget) == (0.01, 0.03, 0.1)
    assert view.own_cost.probes == (("sockets", 0.005, 4.0), ("host", 0.002, 1.0))


def test_probes_that_were_slowed_until_they_are_not():
    slowed = [a.slowed(0, 2000, 1000), a.slowed(1, 4000, 2000), a.slowed(2, 100, 50, "threads")]
    assert view_of(*slowed).slowed_probes == (("sockets", 4.0, "over budget"), ("threads", 0.1, "over budget"))
    again = view_of(*slowed, a.slowed(3, 2000, 4000), a.slowed(4, 50, 100, "threads"))
    assert [one[:2] for one in again.slowed_probes] == [("sockets", 2.0)]
    assert view_of(*slowed[:2], a.slowed(5, 1000, 4000)).slowed_probes == ()


def test_a_probe_that_follows_a_sample_until_it_follows_all():
    half, all_ = a.following(0, 0.5), a.following(1, 1.0)
    assert view_of(half, a.slowed(2, 100, 200, "wire")).slowed_probes == (("wire", None, "follows 1 in 2"),)
    assert view_of(half, all_).slowed_probes == ()


def test_a_probe_that_is_read_rarely_is_still_read_lately():
    view = view_of(a.disk(0), a.disk(30_000, busy_ms=15_000), m.host(50_000, 0, 0))
    assert view.queues.disks[0].utilisation == 0.5
    assert view_of(a.disk(0), a.disk(1000, busy_ms=900), m.host(50_000, 0, 0)).queues.disks == ()
