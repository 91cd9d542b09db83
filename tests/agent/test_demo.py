"""The demo runs, is slow in the ways it promises, and leaves nothing behind, however perfwatch ends."""

import importlib.util
import os
import signal
import subprocess
import sys

import psutil
import pytest
import serving

from perfwatch.agent.demo import start_demo
from perfwatch.agent.errors import PerfwatchError
from perfwatch.examples.demo_load import MIX
from perfwatch.examples.load import percentile_ms, run

SLOW = ("/search", "/order", "/recommendations", "/report", "/login", "/similar")
GONE_S = 10


def test_each_slow_page_is_slow_and_all_are_there():
    with start_demo() as demo:
        samples = run(demo.address, MIX, 2.5)
        processes = psutil.Process().children(recursive=True)
    assert {sample.status for sample in samples} == {200}
    for name in SLOW:
        page = [sample for sample in samples if sample.path.startswith(name)]
        assert percentile_ms(page, 90) > 20, name
    assert percentile_ms([sample for sample in samples if sample.path.startswith("/item")], 50) < 20
    assert not [process for process in processes if process.is_running()]


def test_an_unknown_page_is_not_found():
    with start_demo() as demo:
        assert serving.get(demo.address, "/nothing")[0] == 404
        assert serving.get(demo.address, "/item/x")[0] == 200


def test_nothing_outlives_a_perfwatch_that_is_killed(tmp_path):
    script = (
        "import sys; from perfwatch.agent.demo import start_demo\n"
        "with start_demo() as demo: print(demo.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # an empty directory is left
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        gunicorn = int(process.stdout.readline())
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    assert gunicorn in {child.pid for child in started}
    assert len(started) == 4, "neighbour, load, master and worker"
    _, alive = psutil.wait_procs(started, GONE_S)
    assert alive == []


def test_nothing_is_imported_from_the_current_directory(tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    for name in ("gunicorn", "perfwatch", "msgspec", "gunicorn.conf", "usercustomize", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with start_demo() as demo:
        assert serving.get(demo.address, "/item/1")[0] == 200
    assert not mark.exists()


def test_it_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PerfwatchError, match="gunicorn") as raised, start_demo():
        pytest.fail("started without gunicorn")
    assert raised.value.remedy == "pip install 'perfwatch[demo]'"


def test_it_says_why_the_server_did_not_start(monkeypatch):
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--worker-class nonsense")
    before = psutil.Process().num_fds()
    with pytest.raises(PerfwatchError, match="did not start"), start_demo():
        pytest.fail("started")
    assert psutil.Process().num_fds() == before
    assert psutil.Process().children() == []
