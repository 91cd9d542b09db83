"""Draw the docs' pictures: the screens, and the HTML report, over a recording of the demo. Run by `make picture`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import draw_report

from perfwatch.agent.demo import start_demo
from perfwatch.agent.replay import Replay
from perfwatch.tui.app import PerfwatchApp
from perfwatch.tui.picture import offline_svg
from perfwatch.tui.screens.request import RequestScreen

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.pilot import Pilot

    from perfwatch.agent.model import Request
    from perfwatch.tui.messages import Frame

DOCS: Final = Path(__file__).parent
SIZE: Final = (116, 34)
SECONDS: Final = 20
BEFORE_END_NS: Final = 3_000_000_000
"""The picture is taken while the recording plays, so that something is in flight."""
PATIENCE: Final = 200
POLL_S: Final = 0.02


async def draw(file: Path) -> None:
    """Play the end of the recording, and draw the overview and the newest request that waited for a lock."""
    source = Replay(file)
    app = PerfwatchApp(source)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.frame is not None)
        source.seek(end_of(app.frame) - BEFORE_END_NS)
        await until(pilot, lambda: playing(app.frame) and lock_of(app.frame) is not None)
        (DOCS / "overview.svg").write_text(await settled(pilot, app))
        if (slow := lock_of(app.frame)) is not None:
            app.push_screen(RequestScreen(slow.record.id, app.frame))
            await until(pilot, lambda: isinstance(app.screen, RequestScreen))
            (DOCS / "request.svg").write_text(await settled(pilot, app))


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Let the app work until the condition holds, or patience is over."""
    for _ in range(PATIENCE):
        if condition():
            break
        await pilot.pause(POLL_S)
    await pilot.pause()


async def settled(pilot: Pilot[None], app: PerfwatchApp) -> str:
    """Draw the screen when no part of it is still at an earlier frame: when it looks the same twice."""
    before, now = "", offline_svg(app)
    while now != before:
        await pilot.pause(2 * POLL_S)
        before, now = now, offline_svg(app)
    return now


def end_of(frame: Frame | None) -> int:
    """Return the end of the recording."""
    return 0 if frame is None else frame.position.last_ns


def playing(frame: Frame | None) -> bool:
    """Tell whether the screen is near the end, and something is in flight."""
    if frame is None or not frame.view.in_flight:
        return False
    return frame.position.now_ns >= frame.position.last_ns - BEFORE_END_NS


def lock_of(frame: Frame | None) -> Request | None:
    """Return the newest request that waited for a lock, with what ended the wait."""
    slow = () if frame is None else frame.view.requests[::-1]
    return next((one for one in slow if one.verdict and one.verdict.mechanism == "lock"), None)


def main() -> None:
    """Record the demo, and draw."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as directory:
        file = Path(directory) / "demo.perfwatch"
        with start_demo() as demo:
            perfwatch = str(Path(sys.executable).with_name("perfwatch"))
            command = [perfwatch, "record", "--pid", str(demo.pid), "--duration", str(SECONDS), "-o", str(file)]
            subprocess.run(command, check=True)
        asyncio.run(draw(file))
        draw_report.draw(file)


if __name__ == "__main__":
    main()
