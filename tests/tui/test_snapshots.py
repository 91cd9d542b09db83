"""What the screens look like: compared with stored pictures (`pytest --snapshot-update` after looking at new ones).

The view is a stored one, so that a new wording of a verdict does not change the pictures.
"""

from pathlib import Path

import asking
import msgspec
import pytest
import queued
import stacked
from fakes import FakeSource, generate, session_info
from tui_driving import settled, until

from perfwatch.agent.model import View
from perfwatch.tui.app import PerfwatchApp

REQUESTS = msgspec.json.decode((Path(__file__).parent / "fixtures" / "view_of_30_s.json").read_bytes(), type=View)
VIEW = asking.with_order_calls(stacked.with_endpoint_stacks(queued.crowded(REQUESTS)))


class Stored:
    """A judge that has made up its mind."""

    def feed(self, record):
        return ()

    def view(self):
        return VIEW


async def shown(pilot):
    await until(pilot, lambda: pilot.app.frame is not None)
    await settled(pilot)


@pytest.mark.parametrize(
    ("name", "size", "keys"),
    [
        ("overview", (100, 30), []),
        ("overview", (80, 24), []),
        ("overview", (160, 45), []),
        ("request", (100, 30), ["tab", "enter"]),
        ("request", (80, 24), ["tab", "enter"]),
        ("endpoint", (100, 30), ["enter"]),
        ("legend", (100, 30), ["l"]),
        ("host", (100, 40), ["9"]),
        ("host", (80, 24), ["9"]),
        ("host", (170, 45), ["9"]),
        ("sampled", (100, 30), []),
        ("request", (120, 40), ["tab", "enter"]),
        ("stack", (80, 24), ["tab", "enter", "t"]),
        ("endpoint", (120, 40), ["enter"]),
        ("calls", (80, 24), ["tab", "enter", "d"]),
        ("loop", (100, 30), ["tab", "down", "enter"]),
        ("flame", (80, 24), ["8", "down", "down", "down"]),
        ("flame", (100, 30), ["8", "f"]),
        ("flame", (160, 45), ["8", "e", "x"]),
    ],
    ids=lambda value: "x".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_screen(snap_compare, name, size, keys):
    async def drive(pilot):
        await shown(pilot)
        await pilot.press(*keys)
        await settled(pilot)

    sampled = name == "sampled"
    info = session_info(
        command=f"gunicorn shop.wsgi --threads 4 --workers 4 -b :8000 --name {name}",
        fidelity="sampled" if sampled else "exact",
        probes=(queued.LEDGER_LOST if sampled else queued.PROBES[0], *queued.PROBES[1:]),
    )
    app = PerfwatchApp(FakeSource(generate(30), info=info), judge_factory=lambda _: Stored())
    assert snap_compare(app, terminal_size=size, run_before=drive)
