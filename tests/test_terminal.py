"""perfwatch in a real terminal, on a real server under load: from the first screen by keys to a slow request."""

import re

import psutil
import pytest
import serving
from ledgering import await_unloaded
from recording import PERFWATCH, recording
from terminal import TMUX, await_ended, feeders_of, terminal

from perfwatch.examples.http_client import Call
from perfwatch.examples.load import Endpoint, Load

pytestmark = [pytest.mark.ledger, pytest.mark.skipif(TMUX is None, reason="needs tmux")]
LOAD = (
    Endpoint(Call("/sleep/{n}?ms=90"), clients=1, pause_s=0.2),
    Endpoint(Call("/refresh/{n}?ms=150"), clients=1, pause_s=0.1),
    Endpoint(Call("/lock/{n}"), clients=1, pause_s=0.1),
    Endpoint(Call("/fast/{n}"), clients=1, pause_s=0.02),
)
RECORDED_S = 3.0
TITLE = re.compile(r"^ +GET (/\w+/\d+) +(\d+) ms +200 ", re.MULTILINE)
VERDICT = {"sleep": "E sleep", "lock": "C lock"}


@pytest.fixture(scope="module")
def loaded():
    """A faulty server under load, and the load."""
    with serving.gunicorn("faulty:app") as server, Load(server.address, LOAD) as load:
        yield server, load


def to_the_ledger_of_a(fault, screen):
    """Go by keys from the overview to the ledger of the newest slow request of a fault; returns the screen's text."""
    screen.until(lambda text: re.search(rf"(?m)^ *\d\d:\S+ +GET +/{fault}/\d+ ", text))
    screen.press("/")
    screen.type(f"/{fault}/")
    screen.until(lambda text: set(re.findall(r"GET +/(\w+)/\d", text)) == {fault})
    screen.press("Enter")
    screen.shows("detail")
    screen.press("Tab", "Enter")
    return screen.until(
        lambda text: (
            TITLE.search(text) and "unaccounted" in text and re.search(rf" why {VERDICT[fault]} \d+ % \(", text)
        )
    )


def booked_ms(bucket, text):
    """Return what the ledger on the screen says of a bucket: milliseconds, and percent of the latency."""
    ledger = text.partition("\n   ledger ")[2]
    milliseconds, percent = re.search(rf". {bucket} +([\d.]+) ms +<?(\d+) %", ledger).groups()
    return float(milliseconds), int(percent)


def assert_right(text, fault, server, load):
    """Hold a request's screen against the server's own clock, and against the client's."""
    path, took = TITLE.search(text).groups()
    waited = next(stretch for stretch in serving.truth(server.address) if (stretch.path, stretch.kind) == (path, fault))
    sent = next(sample for sample in load.samples if sample.path.partition("?")[0] == path)
    assert path.startswith(f"/{fault}/")
    # Its client waited for a CPU too before its clock stopped.
    assert (waited.end_ns - waited.start_ns) / 1e6 - 1 < int(took) < sent.latency_ms + 1
    milliseconds, percent = booked_ms(fault, text)
    assert milliseconds == pytest.approx(waited.blocked_ns / 1e6, rel=0.05, abs=2)
    assert percent == pytest.approx(100 * milliseconds / int(took), abs=2)
    assert booked_ms("unaccounted", text)[0] < 1


@pytest.mark.parametrize("fault", [pytest.param("sleep", marks=pytest.mark.slow), "lock"])
def test_from_a_pid_by_keyboard_to_the_ledger_of_a_slow_request(loaded, fault):
    server, load = loaded
    with terminal(PERFWATCH, server.pid) as screen:
        screen.shows("● live  exact", f"pid {server.pid}", f":{server.address.rpartition(':')[2]}")
        feeders = feeders_of(screen.pid)
        assert len(feeders) == 1
        assert_right(to_the_ledger_of_a(fault, screen), fault, server, load)
        screen.press("Escape")
        screen.shows("slow requests")
        screen.press("q")
        assert screen.ended() == 0
        assert screen.says("alternate_on") == "0"
    await_ended(feeders)
    await_unloaded()


def test_the_picker_leads_to_the_same_screens(loaded):
    server, _ = loaded
    with terminal(PERFWATCH) as screen:
        screen.shows("attach to which process?", f" {server.pid}  ")
        rows = screen.screen.splitlines()
        here, there = (
            next(number for number, row in enumerate(rows) if mark in row) for mark in ("▶", f" {server.pid}  ")
        )
        screen.press(*["Down"] * (there - here))
        screen.until(lambda text: re.search(rf"(?m)^ ▶ +{server.pid} .*gunicorn \+1 .*{server.address}", text))
        screen.press("Enter")
        screen.shows("● live  exact", f"pid {server.pid} +1 worker", "GET  /fast/{}")
        screen.press("q")
        assert screen.ended() == 0
    await_unloaded()


def test_killed_it_leaves_nothing_and_the_server_runs_on(loaded):
    server, _ = loaded
    with terminal(PERFWATCH, server.pid) as screen:
        screen.shows("● live  exact", "GET  /fast/{}")
        feeders = feeders_of(screen.pid)
        itself = psutil.Process(screen.pid)
        itself.kill()
        await_ended([itself, *feeders])
    await_unloaded()
    assert serving.get(server.address, "/fast/0") == (200, b"ok")


def test_a_hung_request_shows_and_the_view_outlives_its_target():
    hung = (Endpoint(Call("/hung/{n}"), clients=1), Endpoint(Call("/fast/{n}"), clients=1, pause_s=0.02))
    with serving.gunicorn("faulty:app") as server, terminal(PERFWATCH, server.pid, width=80, height=24) as screen:
        screen.shows("no request has ended yet")
        feeders = feeders_of(screen.pid)
        with Load(server.address, hung) as load:
            screen.until(lambda text: re.search(r"(?m)GET +/hung/\d+ +[\d.]+ s +▒ lock +for [1-9]", text))
            screen.resize(59, 24)
            screen.shows("terminal too small", "59x24")
            screen.resize(100, 30)
            screen.shows("/hung/", "p50")
            psutil.Process(server.pid).terminate()
            screen.shows("target gone: the target ended after", "/fast/{}")
            load.stop(grace_s=0)
        screen.press("q")
        assert screen.ended() == 0
    await_ended(feeders)
    await_unloaded()


@pytest.fixture(scope="module")
def recorded(loaded, tmp_path_factory):
    """A recording of the loaded server, and the report on it."""
    server, load = loaded
    with recording(server.pid) as recorder:
        load.wait(RECORDED_S)
        report = recorder.finish()
        file = tmp_path_factory.mktemp("recorded") / "session"
        file.write_bytes(recorder.file.read_bytes())
    return file, report


@pytest.mark.parametrize("fault", ["sleep", pytest.param("lock", marks=pytest.mark.slow)])
def test_the_same_in_a_replay(loaded, recorded, fault):
    server, load = loaded
    file, report = recorded
    with terminal(PERFWATCH, "replay", file, "--speed", "10") as screen:
        screen.shows("end of the recording", "■ ended  exact", f"pid {server.pid}")
        text = to_the_ledger_of_a(fault, screen)
        assert_right(text, fault, server, load)
        path, took = TITLE.search(text).groups()
        reported = next(request for request in report["slow_requests"] if request["target"] == path)
        assert int(took) == round(reported["duration_ms"])
        assert booked_ms(fault, text)[0] == round(reported["ledger_ms"][fault])
        screen.press("Escape", "q")
        assert screen.ended() == 0


def test_a_replay_can_be_held_sought_and_sped_up(recorded):
    file, report = recorded
    with terminal(PERFWATCH, "replay", file, "--speed", "0.5") as screen:
        screen.shows("▶ replay 0.5x", "GET  /fast/{}")
        screen.press("-")
        screen.shows("▶ replay 0.25x")
        screen.press("Space")
        screen.shows("‖ paused")
        screen.press("j")
        screen.shows("jump to")
        screen.type("end")
        screen.press("Enter")
        screen.shows("end of the recording")
        count = sum(endpoint["count"] for endpoint in report["endpoints"] if endpoint["route"] == "/fast/{}")
        screen.shows(f"0/{count} ")
        screen.press("Left", "Left")
        screen.until(lambda text: f"0/{count} " not in text and "‖ paused" in text)
        screen.press("=", "=", "=", "Space")
        screen.shows("▶ replay 2x")
        screen.press("C-c")
        assert screen.ended() == 0


def culprit_of(fault, screen):
    """Wait until the verdict on the screen names the fault and its place; returns how the screen looked then."""
    return screen.until(lambda text: re.search(rf"why {VERDICT[fault]} ", text) and "faulty.py:" in text)


def test_from_nothing_to_the_culprit_in_at_most_four_keys():
    """As a new user would: choose the server, choose what is slow, read why, whose lock it is and what to do."""
    load = (Endpoint(Call("/refresh/{n}?ms=150"), clients=1, pause_s=0.1), Endpoint(Call("/lock/{n}"), clients=2))
    with serving.gunicorn("faulty:app") as server, Load(server.address, load), terminal(PERFWATCH, height=40) as screen:
        screen.shows("attach to which process?", f" {server.pid}  ")
        rows = screen.screen.splitlines()
        first = next(row for row in rows if "▶" in row)
        keys = ["/", str(server.pid), "Enter"] if f" {server.pid} " not in first else ["Enter"]
        for key in keys[:1]:
            screen.press(key)
        if len(keys) > 1:
            screen.type(keys[1])
            screen.press(keys[2])
        screen.until(lambda text: re.search(r"(?m)^ *▶? *GET +/lock/\{\}.* lock ", text))
        screen.press("Enter")
        text = culprit_of("lock", screen)
        assert "refresh" in text
        assert len(keys) + 1 <= 4
        screen.press("q")
        assert screen.ended() == 0
    await_unloaded()


def test_by_mouse_from_the_overview_to_the_ledger_of_a_slow_request_to_another_page_and_back(loaded):
    server, _ = loaded
    with terminal(PERFWATCH, server.pid) as screen:
        screen.until(lambda text: re.search(r"(?m)^ *\d\d:\S+ +GET +/lock/\d+ ", text))
        screen.press("Space")  # rows stand still
        screen.shows("‖ paused")
        screen.click(re.compile(r"(?m)^ +\d\d:\S+ +GET +/lock/\d+ "))
        screen.click(re.compile(r"(?m)^ +▶ +\d\d:\S+ +GET +/lock/\d+ "))
        screen.until(lambda text: TITLE.search(text) and "unaccounted" in text)
        screen.click(re.compile(r"(?<= )9(?= )"), from_end=True)
        screen.shows("run queue")
        screen.click(re.compile(r"(?<= )1(?= )"), from_end=True)
        screen.shows("slow requests")
        screen.click(re.compile("q quit"), from_end=True)
        assert screen.ended() == 0
    await_unloaded()
