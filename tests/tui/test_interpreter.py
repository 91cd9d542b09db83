"""The thread that answers keys gets its turn first, and the garbage collector seldom."""

import asyncio
import gc
import sys
import time

import pytest

from perfwatch.tui import interpreter


@pytest.fixture(autouse=True)
def _as_before():
    turn_s, threshold = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(turn_s)
    gc.set_threshold(*threshold)
    gc.unfreeze()
    gc.enable()


def shortest_turn_s(until_s):
    """Look for a moment when the loop waits: others shall not keep it from its work then."""
    while (turn_s := sys.getswitchinterval()) > 0.001 and time.monotonic() < until_s:
        time.sleep(0.001)
    return turn_s


def test_turns_are_short_while_the_loop_waits_and_long_while_it_works():
    turns_s = []

    async def work():
        turns_s.append(sys.getswitchinterval())
        turns_s.append(await asyncio.to_thread(shortest_turn_s, time.monotonic() + 20))

    interpreter.answering(work())
    working_s, waiting_s = turns_s
    assert waiting_s <= 0.001
    assert working_s >= 0.005


def test_what_stands_is_looked_through_no_more():
    interpreter.load_soon()
    assert not gc.isenabled()

    async def work():
        assert gc.isenabled()
        before = gc.get_freeze_count()
        kept = [[number] for number in range(1_000)]
        interpreter.stand()
        assert gc.get_freeze_count() - before >= len(kept)

    interpreter.answering(work())
