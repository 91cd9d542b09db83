"""perfwatch over a real ssh, in terminals of 256 and of 16 colours: keys, mouse, another size, a line that breaks."""

import re

import psutil
import pytest
import serving
from ledgering import await_unloaded
from recording import PERFWATCH
from remote import SSH, SSHD, ssh_server
from terminal import TMUX, await_ended, terminal

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [
    pytest.mark.ledger,
    pytest.mark.slow,
    pytest.mark.skipif(TMUX is None, reason="needs tmux"),
    pytest.mark.skipif(SSH is None or SSHD is None, reason="needs ssh and sshd (Debian: openssh-server)"),
]
LOAD = (
    Endpoint(Call("/lock/{n}"), clients=1, pause_s=0.1),
    Endpoint(Call("/refresh/{n}?ms=150"), clients=1, pause_s=0.1),
    Endpoint(Call("/fast/{n}"), clients=1, pause_s=0.02),
)
SIZE = {"width": 80, "height": 24}
COLOUR = re.compile(r"\x1b\[[0-9;]*?(?P<how>[34]8;[25]|[349][0-7]|10[0-7])[0-9;]*m")


@pytest.fixture(scope="module")
def loaded():
    """A faulty server under load, and how to reach its host."""
    with serving.gunicorn("faulty:app") as server, Load(server.address, LOAD), ssh_server() as there:
        yield server, there


def over_ssh(there, directory, *command, term):
    own = {"XDG_STATE_HOME": directory, "XDG_CONFIG_HOME": directory}
    return ["env", f"TERM={term}", *there(PERFWATCH, *command, **own)]


@pytest.mark.parametrize(("term", "kinds"), [("xterm-256color", {"38;5", "48;5"}), ("xterm-16color", set())])
def test_from_the_picker_to_the_culprit_over_ssh(loaded, tmp_path, term, kinds):
    server, there = loaded
    with terminal(*over_ssh(there, tmp_path, term=term), **SIZE) as screen:
        screen.shows("attach to which process?", f" {server.pid}  ")
        screen.type("/")
        screen.type(str(server.pid))
        screen.until(lambda text: re.findall(r"(?m)^ +(\d+) +3\.", text) == [str(server.pid)])
        screen.press("Enter")
        screen.shows("● live  exact", "slow requests")
        screen.until(lambda text: re.search(r"(?m)^ . GET +/lock/\{\} +C", text))
        assert {found["how"] for found in COLOUR.finditer(screen.painted)} & {"38;5", "48;5", "38;2", "48;2"} == kinds
        screen.click(re.compile(r"GET +/lock/\{\}"))
        screen.click(re.compile(r"(?m)^ ▶ GET +/lock/\{\}"))
        screen.shows("mean ledger of the", "lock held by")
        screen.resize(120, 40)
        screen.shows("1 overview 2 requests")
        screen.press("Escape", "q")
        assert screen.ended() == 0
    await_unloaded()


def is_watching(words, pid):
    return words is not None and words[-2:] == [str(PERFWATCH), str(pid)]


def test_where_the_line_breaks_nothing_stays(loaded, tmp_path):
    server, there = loaded
    with terminal(*over_ssh(there, tmp_path, server.pid, term="xterm-256color"), **SIZE) as screen:
        screen.shows("● live  exact", "GET  /fast/{}")
        watching = [one for one in psutil.process_iter(["cmdline"]) if is_watching(one.info["cmdline"], server.pid)]
        assert watching
        psutil.Process(screen.pid).kill()
        await_ended(watching)
    await_unloaded()
    assert serving.get(server.address, "/fast/0") == (200, b"ok")
