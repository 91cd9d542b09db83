"""Drives the terminal interface in a test: open it on a source, press keys, read the screen."""

import asyncio
import contextlib
import functools
import time

from perfwatch.tui.app import PerfwatchApp

DEADLINE_S = 10.0


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


async def until(pilot, condition):
    """Let the app work until the condition holds."""
    limit = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < limit, f"did not come true; the screen says:\n{screen(pilot)}"
        await pilot.pause(0.005)


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
