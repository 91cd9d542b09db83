"""The command line as a user meets it: what ends a recording, what cannot be done, and in which words."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import serving
from ledgering import await_unloaded, script
from recording import PERFWATCH, SPARE_S, recording, report_on
from waiting import until

from perfwatch.agent.collector import Collector
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.recording import recorded
from perfwatch.agent.report import correlate
from perfwatch.agent.session.reader import SessionReader
from perfwatch.agent.session.stored import StoredVerdict
from perfwatch.agent.session.writer import SessionWriter
from perfwatch.agent.target import find_target
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load
from perfwatch.probes.errors import Malformed
from perfwatch.probes.records import HostSample, Loss
from perfwatch.probes.samples import CollectorSample

LOAD = [Endpoint(Call("/sleep/{n}"), clients=2, pause_s=0.01), Endpoint(Call("/fast/{n}"), clients=2, pause_s=0.005)]
IDLE = "import sys; print('ready'); sys.stdin.readline()"
ledger = pytest.mark.ledger


def run(*arguments, **options):
    return subprocess.run([PERFWATCH, *map(str, arguments)], capture_output=True, text=True, timeout=SPARE_S, **options)


def assert_explained(ended, *words):
    """Assert that it failed with one line, without a traceback, that holds the words."""
    assert ended.returncode == 1, ended
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("perfwatch: "), line
    for word in words:
        assert word in line


@contextlib.contextmanager
def loaded_server():
    with serving.http_server() as server, Load(server.address, LOAD) as load:
        load.wait(0.2)
        yield server


def await_committed(file):
    """Wait until a recording holds a committed second."""

    def has_records():
        with SessionReader(file) as session:
            return any(True for _ in session.records())

    until(has_records, pause_s=0.05)


# --- what cannot be done


def test_a_pid_that_is_nobodys():
    process = subprocess.Popen(["true"])
    process.wait()
    assert_explained(run("record", "--pid", process.pid), f"no process {process.pid}", "lists the Python processes")


def test_a_process_that_is_not_python():
    with subprocess.Popen(["sleep", "60"]) as process:
        assert_explained(run("record", "--pid", process.pid), f"process {process.pid} (sleep)", "no Python")
        process.kill()


def test_the_screen_needs_a_terminal():
    assert_explained(run("replay", __file__), "no")
    with script(IDLE) as (process, _):
        assert_explained(run(process.pid, stdin=subprocess.DEVNULL), "needs a terminal", "perfwatch record")


@ledger
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv (util-linux)")
@pytest.mark.parametrize(
    ("dropped", "words"),
    [
        (["--bounding-set", "-bpf,-perfmon,-sys_admin"], ("no permission to load BPF programs", "root")),
        (
            ["--reuid", "65534", "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"],
            ("no permission",),
        ),
    ],
    ids=["root-without-bpf", "somebody-else"],
)
def test_without_permission_for_the_exact_ledger(tmp_path, dropped, words):
    tmp_path.chmod(0o700)
    with script(IDLE) as (process, _):
        record = [PERFWATCH, "record", "--fidelity", "exact", "--pid", str(process.pid), "-o", str(tmp_path / "x")]
        assert_explained(
            subprocess.run(["setpriv", *dropped, *record], capture_output=True, text=True, timeout=SPARE_S), *words
        )
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv (util-linux)")
def test_root_that_may_not_look_is_not_told_to_be_root(tmp_path):
    of_another = subprocess.Popen(["setpriv", "--reuid", "65534", "sleep", "60"])
    try:
        record = [PERFWATCH, "record", "--pid", str(of_another.pid), "-o", str(tmp_path / "x")]
        without = ["setpriv", "--bounding-set", "-sys_ptrace,-perfmon,-sys_admin", *record]
        ended = subprocess.run(without, capture_output=True, text=True, timeout=SPARE_S)
        assert_explained(ended, f"process {of_another.pid} is protected, also from root", "--cap-add SYS_PTRACE")
        assert "run as root" not in ended.stderr
    finally:
        of_another.kill()
        of_another.wait()


@ledger
@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare (util-linux)")
def test_without_libbpf(tmp_path):
    hide = "for lib in /usr/lib/*/libbpf.so.1 /lib/*/libbpf.so.1; do [ -e $lib ] && mount --bind /dev/null $lib; done"
    with script(IDLE) as (process, _):
        command = f'{hide}; exec "$@" record --fidelity exact --pid {process.pid} -o {tmp_path}/x'
        ended = subprocess.run(
            ["unshare", "--mount", "sh", "-c", command, "sh", PERFWATCH],
            capture_output=True,
            text=True,
            timeout=SPARE_S,
        )
    assert_explained(ended, "libbpf.so.1 is not installed", "apt install libbpf1")


@ledger
def test_a_file_that_exists_is_kept(tmp_path):
    tmp_path.chmod(0o700)
    file = tmp_path / "x"
    file.write_text("precious")
    with script(IDLE) as (process, _):
        assert_explained(run("record", "--pid", process.pid, "-o", file), "exists", "--overwrite")
    assert file.read_text() == "precious"


@pytest.mark.parametrize("content", [b"", b"no session\n" * 100], ids=["empty", "text"])
def test_a_file_that_is_no_recording(tmp_path, content):
    file = tmp_path / "x"
    file.write_bytes(content)
    assert_explained(run("report", file), str(file))
    assert_explained(run("report", tmp_path / "missing"), "missing")


@pytest.mark.parametrize("arguments", [["record"], ["record", "--pid", "x"], ["report"], ["nonsense"], ["--nonsense"]])
def test_wrong_usage_exits_with_2(arguments):
    ended = run(*arguments)
    assert ended.returncode == 2, ended
    assert "Usage: " in ended.stderr


# --- what ends a recording


@ledger
@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP))],
)
def test_a_signal_ends_a_recording_whole(number):
    with loaded_server() as server, recording(server.pid) as recorder:
        await_committed(recorder.file)
        recorder.process.send_signal(number)
        assert recorder.process.wait(SPARE_S) == 0
        with SessionReader(recorder.file) as session:
            assert session.finished
            assert session.note is None
        assert {endpoint["route"] for endpoint in report_on(recorder.file)["endpoints"]} >= {"/sleep/{}", "/fast/{}"}
    await_unloaded()


@ledger
def test_the_targets_end_ends_a_recording():
    with script(IDLE) as (process, _), recording(process.pid) as recorder:
        process.kill()
        process.wait()
        assert recorder.process.wait(SPARE_S) == 0
        assert f"the target has ended: process {process.pid}" in recorder.log.read_text()
        report = report_on(recorder.file)
    assert any("ended" in event["text"] or "gone" in event["text"] for event in report["events"]), report["events"]


@ledger
def test_a_target_that_executes_itself_anew_is_followed(tmp_path):
    """As gunicorn's reload, or a supervisor's exec: the PID stays, the interpreter is another."""
    app = Path(serving.APPS / "faulty.py")
    source = f"""
import os, sys
print("ready")
sys.stdin.readline()
os.execv(sys.executable, [sys.executable, {str(app)!r}, sys.argv[1]])
"""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with script(source, arguments=[port]) as (process, _), recording(process.pid, slow_ms=20) as recorder:
        process.stdin.write("go\n")
        process.stdin.flush()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
        for _ in range(5):
            assert serving.get(f"127.0.0.1:{port}", "/sleep/1")[0] == 200
        report = recorder.finish()
    assert any("executed" in event["text"] for event in report["events"]), report["events"]
    (endpoint,) = report["endpoints"]
    assert (endpoint["count"], endpoint["mechanism"]) == (5, "sleep")


@ledger
def test_a_full_disk_keeps_what_was_committed(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", disk], check=True)
    try:
        with loaded_server() as server:
            ended = run("record", "--pid", server.pid, "--duration", 20, "-o", disk / "x")
        assert ended.returncode == 1
        line = ended.stderr.splitlines()[-1]
        assert line.startswith("perfwatch: ")
        assert "disk" in line or "space" in line, line
        report = report_on(disk / "x")
        assert report["requests"]["count"] > 50
    finally:
        subprocess.run(["umount", disk], check=True)
    await_unloaded()


@ledger
@pytest.mark.slow
def test_a_killed_recorder_leaves_the_target_unharmed_and_all_but_the_last_second():
    """20 random moments: half before the first commit was due, half after."""
    with loaded_server() as server:
        for moment in range(20):
            with recording(server.pid) as recorder:
                time.sleep(moment * 0.09)  # the moment is the point: nothing is awaited
                recorder.process.kill()
                recorder.process.wait()
                killed_ns = time.monotonic_ns()
                with SessionReader(recorder.file) as session:
                    records = list(session.records())
                    assert session.finished is False
                    begun_ns = session.info.started_ns
                newest_ns = records[-1].at_ns if records else begun_ns
                assert killed_ns - newest_ns < 1.6e9, f"lost {(killed_ns - newest_ns) / 1e9:.1f} s"
                assert report_on(recorder.file)["session"]["pid"] == server.pid
        assert serving.get(server.address, "/fast/1")[0] == 200
    await_unloaded()


# --- what a recording says


@ledger
def test_a_replay_gives_every_verdict_that_was_given_live():
    """With the adaptive threshold, and losses; the order of delivery is kept, so it is the same."""
    with loaded_server() as server, recording(server.pid) as recorder:
        await_committed(recorder.file)
        with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as client:
            client.sendall(b"\x00\x01\x02 no HTTP")  # told as a loss
        time.sleep(2)  # some seconds of traffic, whatever they bring
        recorder.finish()
        with SessionReader(recorder.file) as session:
            live = list(session.verdicts())
            records = list(session.records())
            _, replayed = correlate(session.info, records)
    assert any(isinstance(record, Loss) for record in records)
    assert len(live) > 20
    assert live == [StoredVerdict.of(each.record.id, each.verdict) for each in replayed]


@ledger
def test_nothing_secret_reaches_the_file():
    with serving.http_server() as server, recording(server.pid) as recorder:
        for _ in range(3):
            assert serving.get(server.address, "/fast/1?token=hunter2&x=hunter2")[0] == 200
        recorder.finish()
        with SessionReader(recorder.file) as session:
            told = repr(list(session.records()))
        assert "/fast/1" in told
        assert "hunter2" not in told
        assert b"hunter2" not in recorder.file.read_bytes()
        assert recorder.file.stat().st_mode & 0o777 == 0o600


# --- run


@ledger
def test_run_watches_from_the_first_instruction_and_gives_the_programs_code():
    source = """
import socket, sys, threading, time
listener = socket.create_server(("127.0.0.1", 0))
def ask():
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(b"GET /first HTTP/1.1\\r\\n\\r\\n")
        client.recv(100)
thread = threading.Thread(target=ask)
thread.start()
client = listener.accept()[0]
client.recv(1000)
time.sleep(0.6)
client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
client.close()
thread.join()
sys.exit(7)
"""
    ended = run("run", "--", sys.executable, "-c", source)
    assert ended.returncode == 7, ended
    assert "GET /first" in ended.stdout
    assert "sleep" in ended.stdout


@ledger
def test_run_finds_the_interpreter_lock_of_what_it_started():
    """The interpreter is not there yet when the program is executed."""
    script = f"""
import subprocess, sys, time, threading
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import serving
from perfwatch.examples.load import Endpoint, Load
from perfwatch.examples.http_client import Call
with serving.http_server() as server, Load(server.address, [Endpoint(Call("/cpu/{{n}}?ms=100"), clients=4)]) as load:
    load.wait(3)
"""
    ended = run("run", "--slow-ms", "20", "--", sys.executable, "-c", script)
    assert ended.returncode == 0, ended
    assert "GET /cpu/{}" in ended.stdout
    assert "gil" in ended.stdout


@ledger
def test_run_of_what_is_no_program():
    ended = run("run", "--", "/no/such/program")
    assert ended.returncode == 127
    assert "/no/such/program cannot be started" in ended.stderr
    assert "Traceback" not in ended.stderr


def heed_hangups():
    """Let what is started be told of hangups, also where the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def kills_itself_slowly(number):
    """Source of a program that takes a second to clean up after a signal, and counts the signals that came."""
    return f"""
import signal, sys, time
came = []
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: came.append(signal.Signals(number).name))
print("ready", flush=True)
while not came: time.sleep(0.01)
time.sleep({number})
print("cleaned up after", *came, flush=True)
"""


def read_until(terminal, text):
    """Read a terminal until a text came, or its last writer has left; returns all that came."""
    output = b""
    while text not in output:
        try:
            output += os.read(terminal, 4096)
        except OSError:  # EIO: nobody has it open any more
            break
    return output


@ledger
def test_ctrl_c_reaches_the_program_once():
    """The terminal gives the signal to the whole foreground: to perfwatch and to the program."""
    controlling, terminal = os.openpty()
    command = ["setsid", "--ctty", "--wait", PERFWATCH, "run", "--", sys.executable, "-c", kills_itself_slowly(1)]
    try:
        with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
            os.close(terminal)
            read_until(controlling, b"ready")
            os.write(controlling, b"\x03")
            output = read_until(controlling, b"no such text").decode()
            assert process.wait(SPARE_S) == 0
    finally:
        os.close(controlling)
    assert "cleaned up after SIGINT\r\n" in output
    assert "perfwatch report" in output


@contextlib.contextmanager
def running(*command, **options):
    """Start `perfwatch run` on a program, and wait for its first line."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([PERFWATCH, "run", *map(str, command)], **pipes, **options) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@ledger
def test_each_signal_to_run_is_passed_on():
    with running("--", sys.executable, "-c", kills_itself_slowly(1), preexec_fn=heed_hangups) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)  # the second comes while the program cleans up after the first
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=SPARE_S)
        assert output.startswith("cleaned up after SIGHUP SIGTERM\n"), output
        assert process.returncode == 0


@ledger
def test_run_ends_with_its_program_and_names_what_lives_on():
    ended = run("run", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
    left = int(ended.stdout.split()[0])
    try:
        assert ended.returncode == 0, ended
        assert f"there still runs: {left} (sleep)" in ended.stderr
        assert Path(f"/proc/{left}/comm").read_text() == "sleep\n", "unharmed"
    finally:
        os.kill(left, signal.SIGKILL)


@ledger
def test_run_does_not_start_a_program_that_it_cannot_record(tmp_path):
    tmp_path.chmod(0o700)
    file, mark = tmp_path / "x", tmp_path / "mark"
    file.write_text("precious")
    assert_explained(run("run", "-o", file, "--", "touch", mark), "exists", "--overwrite")
    assert file.read_text() == "precious"
    assert not mark.exists()


@ledger
def test_run_goes_on_on_a_full_disk_and_says_so_at_once(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k,mode=700", "tmpfs", disk], check=True)
    try:
        server = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import serving
from perfwatch.examples.load import Endpoint, Load
from perfwatch.examples.http_client import Call
load = [Endpoint(Call("/fast/{{n}}"), clients=2, pause_s=0.002)]
print("ready", flush=True)
with serving.http_server() as server, Load(server.address, load) as load:
    sys.stdin.readline()
print("done", flush=True)
"""
        command = ("-o", disk / "x", "--", sys.executable, "-c", server)
        with running(*command, stdin=subprocess.PIPE) as process:
            line = process.stderr.readline()
            assert "full" in line, line
            assert "is not recorded any more" in line
            assert process.poll() is None
            output, errors = process.communicate("go\n", timeout=SPARE_S)
        assert process.returncode == 0
        assert output.startswith("done\n")
        assert "GET /fast/{}" in output
        assert errors == ""
    finally:
        subprocess.run(["umount", disk], check=True)


def ignored_signals(*prefix):
    """Run `cat /proc/self/status` under a prefix, and return the numbers of the signals that it ignores."""
    ended = subprocess.run([*prefix, "cat", "/proc/self/status"], capture_output=True, text=True, timeout=SPARE_S)
    status = dict(line.split(":\t", 1) for line in ended.stdout.splitlines() if line.startswith("Sig"))
    assert int(status["SigBlk"], 16) == 0
    mask = int(status["SigIgn"], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


@ledger
def test_the_program_finds_the_signals_as_perfwatch_did():
    assert ignored_signals(PERFWATCH, "run", "--") == ignored_signals()
    assert ignored_signals("nohup", PERFWATCH, "run", "--") == ignored_signals() | {signal.SIGHUP}


@ledger
def test_under_nohup_a_hangup_ends_nothing(tmp_path):
    tmp_path.chmod(0o700)
    with script(IDLE) as (target, _):
        command = ["nohup", PERFWATCH, "record", "--pid", str(target.pid), "-o", tmp_path / "x"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while "recording process" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=SPARE_S)
            assert process.returncode == 0


# --- a probe that fails


@ledger
@pytest.mark.parametrize("failure", [Malformed("event of kind 9"), OSError(5, "Input/output error")])
def test_a_probe_that_fails_is_one_line_and_what_was_recorded_is_kept(tmp_path, monkeypatch, failure):
    tmp_path.chmod(0o700)

    def fail(*_):
        raise failure

    def record_until_it_fails(pid):
        with (
            Collector(find_target(pid)) as collector,
            SessionWriter(tmp_path / "x", collector.info) as writer,
        ):
            for number, _ in enumerate(recorded(collector, writer, threading.Event())):
                if number == 3:
                    monkeypatch.setattr(collector._attached.core, "read", fail)

    with script(IDLE) as (process, _), pytest.raises(PerfwatchError, match="a probe failed: ") as raised:
        record_until_it_fails(process.pid)
    assert str(failure) in raised.value.problem
    with SessionReader(tmp_path / "x") as session:
        assert session.finished
        assert list(session.records())


# --- what is asked of the probes


@ledger
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv (util-linux)")
def test_without_bpf_it_samples_and_says_so(tmp_path):
    tmp_path.chmod(0o700)
    with loaded_server() as server:
        record = [PERFWATCH, "record", "--pid", server.pid, "--duration", 2, "-o", tmp_path / "x"]
        command = ["setpriv", "--bounding-set", "-bpf,-perfmon,-sys_admin", *map(str, record)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SPARE_S)
    assert ended.returncode == 0, ended
    assert "sampled fidelity, without the exact ledger: no permission to load BPF programs" in ended.stderr
    session = report_on(tmp_path / "x")["session"]
    assert session["fidelity"] == "sampled"
    (exact,) = [probe for probe in session["probes"] if probe["name"] == "ledger"]
    assert exact["status"] == "unavailable"
    assert "no permission to load BPF programs" in exact["reason"]


@ledger
def test_what_is_asked_of_the_probes_reaches_them(tmp_path):
    tmp_path.chmod(0o700)
    asked = ("--without", "wire", "--without", "disk", "--rate", "host=4", "--budget", 5)
    with script(IDLE) as (process, _):
        ended = run("record", "--pid", process.pid, "--duration", 1.5, "-o", tmp_path / "x", *asked)
    assert ended.returncode == 0, ended
    assert "not measured here: disk, wire" in ended.stderr
    with SessionReader(tmp_path / "x") as session:
        probes = {probe.name: probe for probe in session.info.probes}
        records = list(session.records())
    assert probes["wire"].reason == "left out by --without"
    assert probes["host"].period_s == 0.25
    assert [record.budget for record in records if isinstance(record, CollectorSample)] == [0.05]
    assert len([record for record in records if isinstance(record, HostSample)]) >= 5


@pytest.mark.parametrize("command", ["record", "run", "attach"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--without", "dsik"), "there is no probe 'dsik'"),
        (("--rate", "dsik=1"), "there is no probe 'dsik'"),
        (("--rate", "disk=often"), "is not PROBE=HZ"),
    ],
)
def test_a_probe_that_does_not_exist_is_one_line(command, arguments, words):
    rest = {"record": ("--pid", 1), "run": ("--", "true"), "attach": ("--pid", 1)}[command]
    assert_explained(run(command, *arguments, *rest), words)


def test_what_is_wrong_with_one_of_several_targets_is_one_line():
    with script(IDLE) as (process, _):
        both = ("--pid", process.pid, "--pid", 4_194_303)
        assert_explained(run("record", *both), "there is no process 4194303")
    ended = run("record", *["--pid", 1] * 17)
    assert ended.returncode == 2
    assert "at most 16 processes are followed at a time" in ended.stderr


def test_every_command_has_help_with_examples():
    from perfwatch.agent.cli import COMMANDS

    for command in COMMANDS:
        ended = run(command, "--help", env={**os.environ, "COLUMNS": "100"})
        assert ended.returncode == 0
        assert f"perfwatch {command if command != 'attach' else '4312'}" in ended.stdout
