"""Drives the terminal interface in a test: open it on a source, press keys, read the screen."""

import asyncio
import contextlib
import functools
import math
import time

from textual import events, keys

from perfwatch.tui.app import PerfwatchApp

DEADLINE_S = 30.0
SOON_S = 0.025
"""A timer that goes off so soon belongs to what is going on: the screen is painted sixty times a second."""


def scenario(test):
    """Let pytest run an async test."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


@contextlib.asynccontextmanager
async def opened(source, *, size=(100, 30), **options):
    """Open the app on a source and wait for the first frame that shows all its records."""
    app = PerfwatchApp(source, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        if source is not None:
            await until(pilot, lambda: app.frame is not None)
            await settled(pilot)
        yield pilot


async def until_idle(*_):
    """Let the app work until its loop has nothing to do, and will not have soon; at most a second.

    Textual takes a process that uses no CPU for idle; where others use all CPUs, that is one with much to do.
    """
    loop, quiet = asyncio.get_running_loop(), 0
    limit = loop.time() + 1
    while quiet < 3 and loop.time() < limit:
        due_s = _next_timer_s(loop)
        await asyncio.sleep(max(due_s, 0) if due_s < SOON_S else 0)
        quiet = 0 if loop._ready or _next_timer_s(loop) < SOON_S else quiet + 1


def _next_timer_s(loop):
    """Return how long it is until a timer goes off."""
    return min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=math.inf) - loop.time()


async def until(pilot, condition):
    """Let the app work until the condition holds."""
    limit = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < limit, f"did not come true; the screen says:\n{screen(pilot)}"
        await pilot.pause(0.005)


def type_ahead(pilot, text):
    """Send all keys of a text at once, as one who types faster than the app paints; a line's end is enter."""
    for character in text:
        key = {"\n": "enter", "\x1b": "escape"}.get(character) or keys._character_to_key(character)
        pilot.app.post_message(events.Key(key, character))


async def open_page(pilot, key, kind):
    """Press the key of a page, and let it be painted."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await settled(pilot)


async def settled(pilot):
    """Let the app paint what it has."""
    await pilot.pause()
    await pilot.pause()


async def shows(pilot, text):
    """Wait until the text is on the screen."""
    await until(pilot, lambda: text in screen(pilot))


def screen(pilot):
    """What stands on the screen, as lines of plain text."""
    app = pilot.app
    widgets = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in widgets)
