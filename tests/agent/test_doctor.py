"""The doctor on machines that allow less: as other users, in containers, with parts of the kernel hidden."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from confining import CONTAINER, HIDDEN_PROC, NO_BPF, NO_LIBBPF, NOBODY
from ledgering import await_unloaded, script
from recording import PERFWATCH, SPARE_S

from perfwatch.agent.doctor import diagnose
from perfwatch.probes import roots
from perfwatch.probes.table import NAMES

IDLE = "import sys; print('ready'); sys.stdin.readline()"
ledger = pytest.mark.ledger
pytestmark = pytest.mark.skipif(
    not (shutil.which("setpriv") and shutil.which("unshare")), reason="needs setpriv and unshare (util-linux)"
)


def doctor(*prefix, pid=None):
    """Run the doctor under a prefix, as text and as JSON; no traceback, one table, and words that a terminal stands."""
    asked = [] if pid is None else ["--pid", str(pid)]
    text = subprocess.run([*prefix, PERFWATCH, "doctor", *asked], capture_output=True, text=True, timeout=SPARE_S)
    assert (text.returncode, text.stderr) == (0, ""), text
    coded = subprocess.run(
        [*prefix, PERFWATCH, "doctor", "--json", *asked], capture_output=True, text=True, timeout=SPARE_S, check=True
    )
    found = json.loads(coded.stdout)
    lines = text.stdout.splitlines()
    assert lines[0].split()[:2] == ["what", "status"]
    assert max(map(len, lines)) <= 120
    assert tuple(probe["name"] for probe in found["probes"]) == NAMES
    for row in (*found["checks"], *found["probes"]):
        assert any(line.startswith(f"{row['name']} ") and row["status"] in line for line in lines), row
        if row["status"] in {"missing", "limited", "unavailable"}:
            assert row["lost"], row
            assert row.get("reason") or row.get("found"), row
    return found, lines[-1]


def rows(found):
    return {row["name"]: row for row in (*found["checks"], *found["probes"])}


@ledger
def test_as_root_the_exact_ledger():
    found, last = doctor()
    assert found["fidelity"] == "exact"
    assert last == "perfwatch can attach here, with the exact ledger."
    assert rows(found)["ledger"]["status"] == "available"
    assert {rows(found)[name]["status"] for name in ("libbpf", "BTF", "rights")} == {"ok"}
    await_unloaded()


@ledger
def test_root_without_bpf_samples():
    found, last = doctor(*NO_BPF)
    assert found["fidelity"] == "sampled"
    assert last.startswith("perfwatch can attach here, in sampled fidelity")
    exact = rows(found)["ledger"]
    assert exact["status"] == "unavailable"
    assert "no permission to load BPF programs" in exact["reason"]
    assert exact["remedy"]
    assert rows(found)["rights"]["status"] == "missing"


@ledger
def test_without_libbpf_there_is_a_package_to_install():
    found, _ = doctor(*NO_LIBBPF)
    assert found["fidelity"] == "sampled"
    assert "apt install libbpf1" in rows(found)["ledger"]["remedy"]
    assert rows(found)["libbpf"]["status"] == "missing"


@ledger
def test_an_unprivileged_user_samples_what_is_theirs():
    found, _ = doctor(*NOBODY)
    assert found["fidelity"] == "sampled"
    assert rows(found)["ledger"]["status"] == "unavailable"
    assert rows(found)["sampled"]["status"] == "limited", "no packets without CAP_NET_RAW"
    assert "CAP_NET_RAW" in (rows(found)["sampled"]["remedy"] or "")
    assert rows(found)["wire"]["status"] == "unavailable"


@ledger
def test_in_a_container_the_exact_ledger_belongs_to_the_host():
    found, last = doctor(*CONTAINER)
    assert found["fidelity"] == "sampled"
    assert "PID namespace" in rows(found)["ledger"]["reason"]
    assert "host" in rows(found)["ledger"]["remedy"]
    assert "sampled fidelity" in last


@ledger
def test_an_unprivileged_user_in_a_container():
    found, _ = doctor(*CONTAINER, *NOBODY)
    assert found["fidelity"] == "sampled"


@ledger
def test_with_hidden_processes():
    found, _ = doctor(*HIDDEN_PROC, *NOBODY)
    assert found["fidelity"] == "sampled"
    assert "hid" in rows(found)["cpu"]["reason"]


@ledger
def test_a_process_that_is_hidden_cannot_be_attached_to():
    with script(IDLE) as (process, _):
        found, last = doctor(*HIDDEN_PROC, *NOBODY, pid=process.pid)
    assert found["fidelity"] == "none"
    assert rows(found)["target"]["found"] == f"/proc hides process {process.pid} from this user (hidepid)"
    assert last.startswith(f"perfwatch cannot attach to process {process.pid}")


@ledger
def test_a_process_of_another_user_cannot_be_attached_to():
    with script(IDLE) as (process, _):
        found, _ = doctor(*NOBODY, pid=process.pid)
    assert found["fidelity"] == "none"
    assert f"no permission to look into process {process.pid}" in rows(found)["target"]["found"]


@contextlib.contextmanager
def contained():
    """A Python in a container of its own: PID, mount and network namespace; yields its PID here."""
    command = [*CONTAINER, "--net", sys.executable, "-u", "-c", IDLE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            children = roots.PROC / str(process.pid) / "task" / str(process.pid) / "children"
            (pid,) = children.read_text().split()
            yield int(pid)
        finally:
            process.kill()


@ledger
def test_a_process_in_a_container_is_named_as_it_is_known_there():
    with contained() as pid:
        found, last = doctor(pid=pid)
        target = rows(found)["target"]
        assert (target["status"], found["pid"]) == ("ok", pid)
        assert f"process {pid} (1 in its container): Python 3." in target["found"]
        assert last == f"perfwatch can attach to process {pid}, with the exact ledger."


def test_a_pid_that_is_nobodys():
    process = subprocess.Popen(["true"])
    process.wait()
    found = diagnose(process.pid)
    assert found.fidelity == "none"
    assert found.checks[0].found == f"there is no process {process.pid}"


def test_symbols_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(roots, "KALLSYMS", tmp_path / "missing")
    (symbols,) = [check for check in diagnose(os.getpid()).checks if check.name == "kernel symbols"]
    assert symbols.status == "missing"
    assert "cannot be read" in symbols.found
    assert symbols.lost
