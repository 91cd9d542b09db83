"""What comes from the target, its clients or a recording is shown, never obeyed."""

import asking
import msgspec
import pytest
import queued
import runtimes
from fakes import FakeSource, generate, session_info
from judging import judge_that_shows
from tui_driving import opened, scenario, screen, settled, shows

from perfwatch.agent.model import ProbeStatus, ServedRequest, StackTime
from perfwatch.agent.target import Candidate
from perfwatch.probes.frames import Frame
from perfwatch.probes.records import InFlight, Waker

EVIL = "[bold]x[/]\x1b[2J\u202e\u0301"


def replace(record, **changes):
    return msgspec.structs.replace(record, **changes)


def poisoned():
    for record in generate(20):
        if isinstance(record, ServedRequest):
            waits = tuple(
                replace(wait, detail=EVIL, peer=wait.peer and EVIL, waker=Waker(1, 2, EVIL, None))
                for wait in record.waits
            )
            calls = tuple(replace(call, peer=EVIL, local=EVIL, operation=EVIL) for call in record.calls)
            culprits = (asking.culprit(record.id, 5, "/" + EVIL, EVIL),)
            evil = {"method": EVIL, "target": "/" + EVIL, "remote": EVIL, "calls": calls, "culprits": culprits}
            yield replace(record, waits=waits, **evil)
        elif isinstance(record, InFlight):
            evil = [replace(r, method=EVIL, target=EVIL, call=EVIL, detail=EVIL) for r in record.requests]
            yield replace(record, requests=tuple(evil))
        else:
            yield record


def source():
    info = session_info(
        command=EVIL,
        server=EVIL,
        python=EVIL,
        listeners=(EVIL, "0.0.0.0:" + EVIL),
        fidelity="sampled",
        probes=(ProbeStatus(EVIL, "unavailable", EVIL),),
    )
    return FakeSource(list(poisoned()), info=info, label=EVIL, note=EVIL, ended=EVIL)


def assert_harmless(text):
    assert not any(evil in text for evil in ("\x1b", "\u202e", "\u0301"))


@pytest.mark.parametrize("keys", [[], ["enter"], ["tab", "enter"], ["tab", "tab", "enter"], ["tab", "enter", "d"]])
@pytest.mark.parametrize("size", [(60, 16), (160, 40)])
@scenario
async def test_screens_show_hostile_strings_as_text(keys, size):
    async with opened(source(), size=size) as pilot:
        await pilot.press(*keys)
        await settled(pilot)
        await shows(pilot, "[bold")
        assert_harmless(screen(pilot))


def with_stacks(view):
    """A view with hostile code; every name of it, and what it was in the midst of calling."""
    frames = tuple(Frame(f"{number}{EVIL}\0\x01", f"/{number}/{EVIL}\n/x.py", 1) for number in range(5))
    stacks = tuple(StackTime(frames[at:], "lock", is_gc=False, spent_ns=10**8) for at in range(4))
    return replace(
        view,
        requests=tuple(replace(one, stacks=stacks) for one in view.requests),
        endpoints=tuple(replace(one, stacks=stacks) for one in view.endpoints),
        in_flight=tuple(replace(one, stack=frames) for one in view.in_flight),
    )


@pytest.mark.parametrize(
    "keys", [["enter", "t"], ["tab", "enter", "t"], ["tab", "tab", "enter", "t"], ["tab", "enter"]]
)
@pytest.mark.parametrize("size", [(60, 16), (160, 40)])
@scenario
async def test_hostile_names_in_a_stack_are_shown_as_text(keys, size):
    async with opened(source(), size=size, judge_factory=judge_that_shows(with_stacks)) as pilot:
        await pilot.press(*keys)
        await settled(pilot)
        await shows(pilot, "[bold]x[/]\\x1b[2J\\u202e" if "t" in keys else "[bold")
        assert_harmless(screen(pilot))


@pytest.mark.parametrize("keys", [[], ["4"], ["6"], ["7"], ["9"], ["0"]])
@pytest.mark.parametrize("size", [(80, 24), (160, 120)])
@scenario
async def test_names_and_addresses_of_the_host_are_shown_as_text(keys, size):
    async with opened(source(), size=size, judge_factory=queued.judge(**queued.poisoned_parts(EVIL))) as pilot:
        await pilot.press(*keys)
        await settled(pilot)
        await shows(pilot, "[bold")
        assert_harmless(screen(pilot))


@pytest.mark.parametrize("keys", [["3"], ["3", "enter"], ["5"]])
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
@scenario
async def test_names_of_threads_and_of_code_are_shown_as_text(keys, size):
    async with opened(source(), size=size, judge_factory=runtimes.judge(**runtimes.poisoned_parts(EVIL))) as pilot:
        await pilot.press(*keys)
        await settled(pilot)
        await shows(pilot, "[bold")
        assert_harmless(screen(pilot))


@scenario
async def test_the_picker_shows_hostile_processes_as_text():
    evil = Candidate(1, EVIL, EVIL, EVIL, (EVIL,), EVIL, 0)
    async with opened(None, candidates=lambda: [evil], size=(160, 30)) as pilot:
        await shows(pilot, "\\x1b[2J\\u202e\\u0301")
        assert_harmless(screen(pilot))
