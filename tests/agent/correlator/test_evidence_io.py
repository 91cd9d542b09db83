"""Why a request waited for disk, memory, network or a worker: what the queues around it say."""

import around as a
import making as m
import pytest
from judging import facts, judge, text

# --- disk


def hogged(device="vda", *, busy_ms=950):
    return (
        a.disk(-1000, device),
        a.disk(0, device, busy_ms=busy_ms, queue_ms=4 * busy_ms, writes=100, write_ms=4 * busy_ms, written=90 * a.MB),
        a.movers(-1000),
        a.movers(0, a.mover("dd", 80 * a.MB), a.mover("gunicorn", 20 * a.MB, 4313, is_target=True)),
    )


def test_a_disk_is_named_with_its_queue_and_who_fills_it():
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000), *hogged())
    found = facts(verdict)
    assert (found["device"], found["device_busy"], found["device_depth"]) == ("vda", 0.95, 3.8)
    assert found["device_await_ms"] == 38.0
    assert text(verdict, "device") == "files of the server are on vda (/var/lib (ext4)): 95 % busy, 3.8 under way"
    assert text(verdict, "disk_user") == "process dd (pid 901) moved most: 80 MB/s, 80 % of what was seen"
    assert verdict.advice[0].startswith("Another process fills the disk")


def test_processes_of_one_name_fill_a_disk_together():
    others = (a.mover("dd", 40 * a.MB, 901), a.mover("dd", 30 * a.MB, 902), a.mover("cp", 30 * a.MB, 903))
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000), *hogged()[:3], a.movers(0, *others))
    told = "2 processes named dd (the largest is pid 901) moved most: 70 MB/s, 70 % of what was seen"
    assert text(verdict, "disk_user") == told


def test_a_process_that_moves_more_than_the_disk_carries_may_be_at_another_one():
    other = a.movers(0, a.mover("dd", 900 * a.MB))
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000), *hogged()[:3], other)
    assert text(verdict, "disk_user").endswith("100 % of what was seen; vda itself carried 90 MB/s")
    assert verdict.advice[0].startswith("Find out whether that process uses the same disk")
    beside = a.movers(0, a.mover("dd", 900 * a.MB), a.mover("gunicorn", 80 * a.MB, 4313, is_target=True))
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000), *hogged()[:3], beside)
    assert verdict.advice[0].startswith("The server itself fills the disk")


def test_the_server_may_fill_its_disk_itself():
    own = a.movers(0, a.mover("gunicorn", 90 * a.MB, 4313, is_target=True), a.mover("dd", 10 * a.MB))
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000), *hogged()[:3], own)
    assert facts(verdict)["disk_user"] == "gunicorn"
    assert text(verdict, "disk_user").startswith("the server's own process gunicorn")
    assert verdict.advice[0].startswith("The server itself fills the disk")


def test_of_two_disks_the_busy_one_that_its_files_are_on_is_meant():
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000, "vdb"), *hogged("vda"), *hogged("vdb", busy_ms=500))
    assert facts(verdict)["device"] == "vdb"


def test_a_busy_disk_without_files_of_the_server_is_named_as_such():
    idle = (a.disk(-1000, "vdb"), a.disk(0, "vdb", busy_ms=3))
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000, "vdb"), *idle, *hogged("vda"))
    assert text(verdict, "device") == "the busiest disk was vda: 95 % busy, 3.8 under way"


def test_a_disk_that_was_not_full_is_slow_by_itself():
    verdict = judge(m.served(1, 0, disk=300), a.files(-1000), *hogged(busy_ms=100)[:2])
    assert verdict.advice[0].startswith("The disk was not full")


def test_a_disk_of_which_nothing_is_known_is_still_the_disk():
    assert set(facts(judge(m.served(1, 0, disk=300)))) == {"disk_ms"}


# --- memory


def test_memory_tells_swapping_from_reading_files():
    swapping = judge(
        m.served(1, 0, fault=300),
        a.memory(-1000, available=100 * a.MB, swapped_in_bytes=0, direct_reclaims=0, major_faults=0),
        a.memory(0, available=100 * a.MB, swapped_in_bytes=50 * a.MB, direct_reclaims=40, major_faults=900),
        a.process_memory(-1000, 0),
        a.process_memory(0, 300),
    )
    found = facts(swapping)
    assert found["memory_available"] == pytest.approx(0.0125, abs=1e-3)
    assert found["shortage"] == "swap"
    assert found["swapped_in_bytes_s"] == 50 * a.MB
    assert (found["direct_reclaims_s"], found["major_faults_s"], found["own_major_faults_s"]) == (40.0, 900.0, 300.0)
    assert swapping.advice[0].startswith("The host swaps")
    roomy = judge(m.served(1, 0, fault=300), a.memory(-1000, major_faults=0), a.memory(0, major_faults=900))
    assert facts(roomy)["shortage"] == "files"
    assert roomy.advice[0].startswith("There was memory left")


def test_reclaiming_is_a_shortage_of_its_own():
    before = (a.memory(-1000, direct_reclaims=0), a.memory(0, direct_reclaims=40))
    assert facts(judge(m.served(1, 0, fault=300), *before))["shortage"] == "reclaim"


def test_a_memory_limit_that_was_met_is_named():
    limit = {"memory_limit_bytes": 512 * a.MB}
    verdict = judge(
        m.served(1, 0, fault=300),
        a.cgroup(-1000, limit_hits=2, **limit),
        a.cgroup(0, limit_hits=9, **limit),
    )
    assert facts(verdict)["limit_hits"] == 7
    assert text(verdict, "memory_cgroup") == f"cgroup {a.CGROUP} met its memory limit of 512 MB 7 times"
    assert verdict.advice[0].startswith("The cgroup reached its memory limit")


# --- network and peers


def test_the_network_reads_the_requests_own_socket():
    slow_reader = (
        a.sockets(-1000, a.socket(1, busy_ns=0, rwnd_limited_ns=0, retransmits=1), a.socket(2, retransmits=0)),
        a.sockets(
            0,
            a.socket(1, busy_ns=900 * m.MS, rwnd_limited_ns=810 * m.MS, retransmits=1, rtt_ns=80 * m.MS),
            a.socket(2, retransmits=500),
        ),
    )
    verdict = judge(m.served(1, 0, send=300, connection=1), *slow_reader)
    assert (facts(verdict)["rwnd_limited"], facts(verdict)["rtt_ms"]) == (0.9, 80.0)
    assert "retransmits" not in facts(verdict)
    assert verdict.advice[0].startswith("Let a buffering proxy")


def test_what_a_client_that_does_not_read_is_sent_again_is_no_loss():
    slow_reader = (
        a.sockets(-1000, a.socket(1, busy_ns=0, rwnd_limited_ns=0, retransmits=0)),
        a.sockets(0, a.socket(1, busy_ns=900 * m.MS, rwnd_limited_ns=870 * m.MS, retransmits=150)),
    )
    verdict = judge(m.served(1, 0, send=300, connection=1), *slow_reader)
    assert facts(verdict)["retransmits"] == 150
    assert verdict.advice[0].startswith("Let a buffering proxy")


def test_retransmits_of_its_connection_point_at_loss():
    lossy = (a.sockets(-1000, a.socket(1, retransmits=3)), a.sockets(0, a.socket(1, retransmits=15)))
    verdict = judge(m.served(1, 0, receive=300, connection=1), *lossy)
    assert text(verdict, "retransmits") == "12 segments had to be sent again"
    assert verdict.advice[0].startswith("Segments were sent again")


def test_a_far_peer_is_told_from_a_slow_one():
    peers = (m.peer("10.0.0.5:5432", 300, 3),)
    way = {"role": "connected", "peer": "10.0.0.5:5432"}
    far = judge(m.served(1, 0, calls=300, peers=peers), a.sockets(0, a.socket(5, rtt_ns=90 * m.MS, **way)))
    assert facts(far)["peer_rtt_ms"] == 90.0
    assert far.advice[0].startswith("Most of it is the way there and back")
    near = judge(m.served(1, 0, calls=300, peers=peers), a.sockets(0, a.socket(5, rtt_ns=m.MS, retransmits=0, **way)))
    assert not {"peer_rtt_ms", "retransmits"} & set(facts(near))
    assert near.advice[0].startswith("Look at the peer")


# --- the listening socket


def test_a_queue_shows_its_listening_socket():
    line = (
        a.listener(-500, 7, recv_q_bytes=65_536),
        a.listener(-400, 3, "127.0.0.1:9000"),
        a.sockets(0, a.socket(9, "listening", recv_q=5, send_q=128)),
        a.network(-1000),
        a.network(0, listen_overflows=4, listen_drops=4),
    )
    verdict = judge(m.served(1, 0, queue=400), *line)
    assert verdict.mechanism == "queue"
    found = facts(verdict)
    assert (found["listener"], found["backlog"], found["recv_q_bytes"]) == ("127.0.0.1:8000", 7, 65_536)
    assert text(verdict, "listener") == (
        "it came in at 127.0.0.1:8000: at most 7 connections waited to be accepted, where 128 may"
    )
    assert "overflows" not in found  # it was not full: they met another one


def test_a_queue_that_overflowed_says_so():
    line = (a.listener(-500, 8, limit=7), a.network(-1000), a.network(0, listen_overflows=4, listen_drops=4))
    verdict = judge(m.served(1, 0, queue=400), *line)
    assert text(verdict, "overflows") == "4 connections met a full accept queue"
    assert text(verdict, "backlog") == "at most 8 connections waited to be accepted, where 7 may"
    assert verdict.advice[1].startswith("The accept queue overflowed")


def test_a_queue_that_overflowed_between_two_readings_is_known_by_what_it_turned_away():
    def listening(drops):
        return a.socket(9, "listening", recv_q=0, send_q=7, drops=drops)

    network = (a.network(-1000), a.network(0, listen_overflows=4, listen_drops=4))
    line = (a.sockets(-1000, listening(70)), a.sockets(0, listening(73)), *network)
    assert facts(judge(m.served(1, 0, queue=400), *line))["overflows"] == 4
    still = (a.sockets(-1000, listening(70)), a.sockets(0, listening(70)), *network)
    assert "overflows" not in facts(judge(m.served(1, 0, queue=400), *still))


def test_a_listening_socket_that_was_not_read_is_left_out():
    assert set(facts(judge(m.served(1, 60_000, queue=400), a.listener(0, 7)))) == {"queue_ms"}


def test_names_that_look_like_formats_stay_what_they_are():
    hostile = "{0}{x!r}%s"
    movers = (a.movers(-1000), a.movers(0, a.mover(hostile, 5 * a.MB)))
    disks = (a.disk(-1000, hostile), a.disk(0, hostile, busy_ms=900))
    verdict = judge(m.served(1, 0, disk=300), *movers, *disks)
    assert text(verdict, "device_busy") == f"{hostile} was 90 % busy"
    assert hostile in text(verdict, "disk_user")
    calls = (m.wait("calls", 300, call=hostile),)
    verdict = judge(m.served(2, 0, calls=300, peers=(m.peer(hostile, 300),), waits=calls))
    assert verdict.summary == f"waited 300 ms for {hostile} (100 %)"
    assert text(verdict, "longest_wait_ms") == f"the longest wait was 300.0 ms in {hostile}"
