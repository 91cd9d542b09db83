"""perfwatch is killed at any moment, again and again, and the server that it watched never notices."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest
import serving
from ledgering import await_unloaded
from recording import PERFWATCH

from perfwatch.agent.target import interpreter_of
from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.ledger, pytest.mark.slow]
KILLS = 50
LATEST_S = 2.5
"""After its start: it has attached after some 0.7 s."""


def code_of(pid):
    """All code of a process that comes from files, by where it lies."""
    found = {}
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *_, path = line.split(maxsplit=5)
            if "x" in permissions and "python" in path:
                start, end = (int(part, 16) for part in span.split("-"))
                memory.seek(start)
                found[start] = memory.read(end - start)
    assert found
    return found


@pytest.mark.timeout(600)
def test_a_server_outlives_fifty_kills_unharmed_and_nothing_is_left(tmp_path):
    chance = random.Random(1)
    load = (
        Endpoint(Call("/kept-lock/{n}?ms=5"), clients=2, pause_s=0.002),
        Endpoint(Call("/garbage/{n}?ms=2"), clients=1, pause_s=0.002),
        Endpoint(Call("/fast/{n}"), clients=2, pause_s=0.002),
    )
    with serving.gunicorn("faulty:app") as server:
        (worker,) = (int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split())
        before = code_of(worker)
        with Load(server.address, load) as running:
            for kill in range(KILLS):
                command = [PERFWATCH, "record", "--pid", str(server.pid), "-o", tmp_path / f"{kill}"]
                with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as recorder:
                    time.sleep(chance.uniform(0, LATEST_S))
                    recorder.kill()
            running.stop()
            samples = running.samples
        await_unloaded()
        assert interpreter_of(worker)
        assert Path(f"/proc/{worker}/status").read_text().split("TracerPid:")[1].split()[0] == "0"
        assert code_of(worker) == before
    assert len(samples) > 10 * KILLS
    assert {sample.status for sample in samples} == {200}
