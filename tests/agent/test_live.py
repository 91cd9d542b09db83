"""The pipe between the collector and the screen: nothing is lost at its ends, and nobody waits for the other."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import serving
from fake_records import generate, session_info
from ledgering import script

from perfwatch.agent import live, saving
from perfwatch.agent.choices import Choices
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.feeder import MAX_PENDING_BYTES, Outbox
from perfwatch.agent.feeder_messages import LENGTH, Ended, Failed, Hello, Records
from perfwatch.agent.live import Live
from perfwatch.agent.playing import Window
from perfwatch.agent.replay import Replay
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load
from perfwatch.probes.records import Loss, ServedRequest
from perfwatch.probes.samples import CollectorSample

RECORDS = generate(5)
IDLE = "import sys; print('ready'); sys.stdin.readline()"


def framed(*messages):
    encoded = [msgspec.msgpack.encode(message) for message in messages]
    return b"".join(LENGTH.pack(len(data)) + data for data in encoded)


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Let a program stand in for the collector's process: it writes the given bytes at once, and ends."""
    real = subprocess.Popen

    def prepare(data, *, reads=True):
        (tmp_path / "data").write_bytes(data)
        begin = "sys.stdin.buffer.read()" if reads else "sys.stdin.close(); os.close(0)"
        source = f"import os, sys; {begin}; sys.stdout.buffer.write(open({str(tmp_path / 'data')!r}, 'rb').read())"

        def popen(_, **options):
            process = real([sys.executable, "-c", source], **options)
            if not reads:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            return process

        monkeypatch.setattr(live.subprocess, "Popen", popen)

    return prepare


def test_what_comes_with_the_greeting_is_kept(stand_in):
    stand_in(framed(Hello(session_info()), Records(RECORDS[:10]), Records(RECORDS[10:20]), Ended("it is gone")))
    source = Live(os.getpid())
    try:
        batch = source.pull(0.1)
    finally:
        source.close()
    assert batch.records == RECORDS[:20]
    assert batch.ended == "it is gone"


def pulled(source, *, until):
    """Pull until a batch meets a condition; returns the records of all, and that batch."""
    records, newest = [], []
    while True:
        batch = source.pull(1)
        records = [*batch.records] if batch.restarted else [*records, *batch.records]
        newest += batch.newest
        if until(batch):
            return records, newest, batch


def test_a_view_can_go_back_while_the_stream_goes_on_and_return(stand_in):
    stand_in(framed(Hello(session_info()), *(Records(RECORDS[at : at + 5]) for at in range(0, len(RECORDS), 5))))
    source = Live(os.getpid())
    moment = RECORDS[len(RECORDS) // 2].at_ns
    try:
        seen, _, _ = pulled(source, until=lambda batch: batch.position.now_ns > moment)
        source.seek(moment)
        source.pause(paused=True)
        earlier, newest, batch = pulled(source, until=lambda batch: not batch.is_filling)
        assert batch.position.behind
        assert batch.position.paused
        assert earlier == [record for record in RECORDS if record.at_ns <= moment]
        source.seek(1 << 62)
        rest, more, batch = pulled(source, until=lambda batch: batch.ended)
        assert not batch.position.behind
    finally:
        source.close()
    assert (*seen, *newest, *more, *rest) == RECORDS, "the correlator of the stream's end misses nothing"


def test_a_view_that_plays_fast_catches_up(stand_in):
    stand_in(framed(Hello(session_info()), Records(RECORDS)))
    source = Live(os.getpid())
    try:
        pulled(source, until=lambda batch: batch.ended)
        source.seek(RECORDS[0].at_ns + 10**9)
        source.set_speed(1000)
        seen, _, batch = pulled(source, until=lambda batch: batch.position.now_ns == RECORDS[-1].at_ns)
        assert batch.position.behind
        assert seen == list(RECORDS)
        assert not source.pull(1).position.behind
    finally:
        source.close()


@pytest.mark.parametrize("reads", [True, False], ids=["after-the-order", "before-the-order"])
def test_a_collector_that_ends_at_once_is_an_error(stand_in, reads):
    stand_in(b"", reads=reads)
    with pytest.raises(PerfwatchError, match="collector ended before it was attached"):
        Live(os.getpid())


def test_the_collectors_own_words_are_told(stand_in):
    stand_in(framed(Failed("no permission", "be root")))
    with pytest.raises(PerfwatchError, match=r"no permission \(be root\)"):
        Live(os.getpid())


@pytest.mark.ledger
def test_a_collector_that_is_killed_ends_the_stream():
    with script(IDLE) as (process, _):
        source = Live(process.pid)
        try:
            os.kill(source._process.pid, signal.SIGKILL)
            while not (batch := source.pull(1)).ended:
                pass
        finally:
            source.close()
    assert batch.ended == "the collector has ended"


@pytest.mark.ledger
def test_several_are_followed_as_one_stream():
    with script(IDLE) as (one, _), script(IDLE) as (other, _):
        source = Live(one.pid, other.pid)
        try:
            assert [target.pid for target in source.info.targets] == [one.pid, other.pid]
            one.kill()
            assert not source.pull(1).ended
            other.kill()
            while not (batch := source.pull(1)).ended:
                pass
        finally:
            source.close()
    assert batch.ended == f"processes {one.pid} and {other.pid} and all their children have ended"


@pytest.mark.ledger
def test_what_is_asked_of_the_probes_goes_through_the_pipe():
    choices = Choices("sampled", (("host", 0.25),), ("wire", "disk"), 0.5)
    with script(IDLE) as (process, _):
        source = Live(process.pid, choices=choices)
        try:
            info = source.info
            records = []
            while not any(isinstance(record, CollectorSample) for record in records):
                records += source.pull(1).records
        finally:
            source.close()
    statuses = {probe.name: probe for probe in info.probes}
    assert info.fidelity == "sampled"
    assert {name for name, probe in statuses.items() if probe.reason == "left out by --without"} == {"wire", "disk"}
    assert statuses["host"].period_s == 0.25
    assert {record.budget for record in records if isinstance(record, CollectorSample)} == {0.5}


@pytest.mark.ledger
def test_while_live_one_can_go_back_return_and_save_what_was_seen(tmp_path):
    tmp_path.chmod(0o700)
    load = (Endpoint(Call("/lock/{n}"), clients=1, pause_s=0.05),)
    with serving.gunicorn("faulty:app") as server, Load(server.address, load):
        source = Live(server.pid)
        try:
            seen, _, batch = pulled(source, until=lambda batch: behind_s(batch) > 2)
            moment = batch.position.now_ns - 10**9
            source.seek(moment)
            source.pause(paused=True)
            earlier, newest, batch = pulled(source, until=lambda batch: behind_s(batch, moment) > 2)
            assert (batch.position.behind, batch.position.now_ns) == (True, moment)
            assert earlier == [record for record in seen if record.at_ns <= moment]
            assert any(isinstance(record, ServedRequest) for record in newest), "the collecting goes on"
            source.seek(1 << 62)
            rest, more, batch = pulled(source, until=lambda batch: batch.position.label == "live" and batch.records)
            everything = [*seen, *newest, *more, *rest]
            assert [record.at_ns for record in everything] == sorted(record.at_ns for record in everything)
            window = Window(moment, batch.position.now_ns)
            saving.save(source, window, tmp_path / "saved")
        finally:
            source.close()
        truth = {stretch.path for stretch in serving.truth(server.address)}
    replay = Replay(tmp_path / "saved", speed=1000)
    try:
        again, _, batch = pulled(replay, until=lambda batch: batch.ended)
    finally:
        replay.close()
    assert again == [record for record in everything if moment <= record.at_ns <= window.end_ns]
    paths = {record.target for record in again if isinstance(record, ServedRequest)}
    assert len(paths) > 10
    assert paths <= truth


def behind_s(batch, since_ns=None):
    """How much of the stream lies after a moment, by default its beginning."""
    position = batch.position
    return (position.last_ns - (position.first_ns if since_ns is None else since_ns)) / 1e9


# --- a screen that does not read


def messages_in(data):
    decoder, messages = live._decoder, []
    while data:
        (length,) = LENGTH.unpack_from(data)
        messages.append(decoder.decode(data[LENGTH.size : LENGTH.size + length]))
        data = data[LENGTH.size + length :]
    return messages


def available(read):
    os.set_blocking(read.fileno(), False)
    return read.read() or b""


@pytest.mark.parametrize("finishes", [False, True], ids=["goes-on", "ends"])
def test_a_reader_that_stops_loses_the_oldest_records_and_is_told(finishes):
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "wb", buffering=0) as writer:
        outbox = Outbox(write)
        outbox.put(Hello(session_info()))
        size = len(framed(Records(RECORDS)))
        sent = 3 * MAX_PENDING_BYTES // size
        for _ in range(sent):
            outbox.put(Records(()))
            outbox.put(Records(RECORDS))
            assert outbox._bytes <= MAX_PENDING_BYTES
        if finishes:
            with ThreadPoolExecutor(1) as pool:
                ending = pool.submit(reader.read)
                outbox.finish(Ended("gone"))
                writer.close()
                collected = ending.result()
        else:
            collected = b""
            while outbox._pending or outbox._begun:
                collected += available(reader)
                outbox.put(Records(()))
            collected += available(reader)
    messages = messages_in(collected)
    assert messages[0] == Hello(session_info())
    if finishes:
        assert messages.pop() == Ended("gone")
    records = [record for message in messages[1:] for record in message.records]
    (loss,) = [record for record in records if isinstance(record, Loss) and record.probe == "screen"]
    assert loss.reason == "the screen did not keep up"
    assert loss.lost > 0
    assert len(records) - 1 + loss.lost == sent * len(RECORDS)
    assert records[-1] == loss
    assert records[-1 - len(RECORDS) : -1] == list(RECORDS), "the newest are kept"
