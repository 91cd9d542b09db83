"""Draw docs/overview.svg and docs/request.svg: the screens over a recording of the demo. Run by `make picture`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from perfwatch.agent.demo import start_demo
from perfwatch.agent.replay import Replay
from perfwatch.tui.app import PerfwatchApp
from perfwatch.tui.picture import offline_svg

DOCS: Final = Path(__file__).parent
SIZE: Final = (112, 36)
SECONDS: Final = 20
SETTLE_S: Final = 1.0
END_NS: Final = 1 << 62


async def draw(file: Path) -> None:
    """Open the recording at its end, and draw the overview and the first slow request."""
    source = Replay(file)
    app = PerfwatchApp(source)
    async with app.run_test(size=SIZE) as pilot:
        source.seek(END_NS)
        await pilot.pause(SETTLE_S)
        (DOCS / "overview.svg").write_text(offline_svg(app))
        await pilot.press("right_square_bracket", "enter")
        await pilot.pause(SETTLE_S)
        (DOCS / "request.svg").write_text(offline_svg(app))


def main() -> None:
    """Record the demo, and draw."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as directory:
        file = Path(directory) / "demo.perfwatch"
        with start_demo() as demo:
            perfwatch = str(Path(sys.executable).with_name("perfwatch"))
            command = [perfwatch, "record", "--pid", str(demo.pid), "--duration", str(SECONDS), "-o", str(file)]
            subprocess.run(command, check=True)
        asyncio.run(draw(file))


if __name__ == "__main__":
    main()
