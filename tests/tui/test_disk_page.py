"""The page of disks: the devices, who moves the bytes, the target's own, and where its requests waited."""

import queued
from fakes import FakeSource, generate, session_info
from tui_driving import open_page, opened, scenario, screen, shows

from perfwatch.agent.model_lately import Lately
from perfwatch.agent.model_queues import Queues
from perfwatch.tui.screens.disk import DiskScreen

SAID = (
    "nvme0n1 93 % busy over the last 10 s   judged requests waited 620 ms for it",
    "nvme0n1 ██████ 93 % 6 4.2 64 ms",
    "read 14/s 0.4 ms each 1.2 MB/s",
    "written 322/s 13 ms each 88 MB/s",
    "the target's files: /var/lib (ext4), / (ext4)",
    "vdb ░░░░░░ 0 % - 0.0 -",
    "12 % 0 %/0 % 3 %/2 % host",
    "812 postgres ████████ 0 B/s read 80 MB/s written",
    "4313 gunicorn ░░░░░░░░ 1.2 MB/s read 900 B/s written the target",
    "4313 1.2 MB/s 900 B/s 0.40",
    "4312 0 B/s - -",
    "620 ms fsync in append() at journal.py:41: 14 waits, at most 88 ms; POST /order (12)",
    "writes /var/lib/shop/orders.db nvme0n1 /var/lib (ext4)",
    "reads /srv/shop/catalogue.json nvme0n1 / (ext4)",
)


def page(*, size=(120, 60), **changes):
    return opened(FakeSource(generate(10), info=session_info()), size=size, judge_factory=queued.judge(**changes))


@scenario
async def test_devices_users_waits_and_files_are_told():
    async with page() as pilot:
        await open_page(pilot, "6", DiskScreen)
        text = screen(pilot)
    unwrapped = " ".join(text.split())
    for part in SAID:
        assert " ".join(part.split()) in unwrapped
    for chart in ("busiest disk", "some task waited for I/O"):
        assert chart in text


@scenario
async def test_what_was_not_measured_is_said_so():
    async with page(size=(80, 24), queues=Queues(), lately=Lately(), disk_waits=()) as pilot:
        await open_page(pilot, "6", DiskScreen)
        await shows(pilot, "nothing was measured of the disks: see the probes, key 0")
        assert "devices" not in screen(pilot)


@scenario
async def test_a_disk_that_nobody_waited_for_is_no_reason():
    async with page(disk_waits=()) as pilot:
        await open_page(pilot, "6", DiskScreen)
        await shows(pilot, "no judged request waited for a disk")
