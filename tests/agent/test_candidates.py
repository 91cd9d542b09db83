"""What the picker knows of a process, held against /proc."""

import os
import time
from pathlib import Path

import psutil
import pytest
import serving
import serving_loops
from ledgering import script

from perfwatch.agent.serving import told_by
from perfwatch.agent.target import python_processes

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def test_a_server_with_its_workers_is_one_candidate_with_what_they_use():
    with serving.gunicorn("faulty:app") as server:
        family = [server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))]
        found = {one.pid: one for one in python_processes()}
    candidate = found[server.pid]
    assert not set(family[1:]) & set(found)
    assert candidate.workers == len(family) - 1 >= 1
    assert candidate.server == "gunicorn"
    assert server.address in candidate.listeners
    assert candidate.cpu_s > 0
    assert candidate.started_unix_s == pytest.approx(time.time(), abs=60)


def test_cpu_and_memory_are_those_of_proc():
    with serving.gunicorn("faulty:app") as server:
        family = [server.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))]
        candidate = next(one for one in python_processes() if one.pid == server.pid)
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in family]
        used_s = sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in family)
    assert candidate.cpu_s == pytest.approx(used_s, abs=0.3)
    assert candidate.rss_bytes == pytest.approx(pages * PAGE, rel=0.05)


SERVED = {
    "flask": (serving.flask, ("flask", "flask")),
    "django": (serving.django, ("django", "django")),
    "cheroot": (serving.cheroot, ("cheroot", None)),
    "uvicorn": (serving_loops.gunicorn_uvicorn, ("gunicorn", None)),
    "script": (serving.http_server, ("http.server", None)),
}


@pytest.mark.parametrize("name", SERVED)
def test_server_and_framework_are_told_by_what_is_loaded(name):
    start, expected = SERVED[name]
    with start() as server:
        candidate = next(one for one in python_processes() if one.pid == server.pid)
    assert (candidate.server, candidate.framework) == expected


def test_what_does_not_listen_does_not_serve():
    with script("import wsgiref.simple_server; print('up'); input()") as (process, _):
        candidate = next(one for one in python_processes() if one.pid == process.pid)
    assert (candidate.server, candidate.framework) == (None, None)


def test_of_several_the_one_that_is_made_of_the_others_counts():
    assert told_by({"starlette.applications", "fastapi.applications", "uvicorn.server"}) == ("uvicorn", "fastapi")
    assert told_by({"uvicorn.server", "gunicorn.arbiter"}).server == "gunicorn"
    assert told_by({"flask", "aiohttp", "os"}) == (None, None)
