"""Who uses the disks: every process, the target's own, its files, and where in its code requests waited for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, clean, fit, fit_path
from perfwatch.tui.widgets.sections import Section, SectionPanel
from perfwatch.tui.widgets.waits import wait_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model_lately import FilePlace, OwnIo, Waits
    from perfwatch.agent.model_queues import DiskShare
    from perfwatch.tui.messages import Frame

_BAR: Final = 8
_FILES: Final = 12
_ROOMY: Final = 80


class DiskUse(SectionPanel):
    """Over the last seconds of the view; waits are those of the judged requests that it holds."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the processes, the target's own, what waited, and the files."""
        view = frame.view
        moving = list(said.moving(view.queues.disk_users))
        total = sum(user.read_bytes_s + user.written_bytes_s for user in moving)
        users = [_user(one, total, width) for one in moving]
        yield Section("who moves bytes", "of all processes that may be asked", users)
        own = [_own(one) for one in view.lately.own_io]
        yield Section("the target", f"{'read':>14}{'written':>13}   threads that waited, on average", own)
        waits = [line for one in view.disk_waits for line in wait_lines(one, _place(one), width)]
        yield Section("waits for the disk", "of judged requests, by where in the code", waits)
        files = view.lately.files
        more = f", the first {_FILES} of {len(files)}" if len(files) > _FILES else ""
        yield Section("open files", f"of the target{more}", _files(files[:_FILES], width))


def _user(user: DiskShare, total: float, width: int) -> Text:
    bar = _BAR if width >= _ROOMY else 0
    return Text.assemble(
        (f"{user.pid:>8}  ", palette.QUIET),
        (f"{fit(clean(user.name), 16)} ", palette.STRONG if user.is_target else palette.TEXT),
        gauge((user.read_bytes_s + user.written_bytes_s) / total if total else 0.0, bar, palette.LINE),
        (f"{said.octets(user.read_bytes_s) + '/s read':>14}", palette.TEXT),
        (f"{said.octets(user.written_bytes_s) + '/s written':>18}", palette.TEXT),
        ("  the target" if user.is_target else "", palette.ACCENT),
    )


def _own(one: OwnIo) -> Text:
    read, written = (
        NONE if rate is None else said.octets(rate) + "/s" for rate in (one.read_bytes_s, one.written_bytes_s)
    )
    waited = NONE if one.waited is None else f"{one.waited:.2f}"
    return Text.assemble(
        (f"{one.pid:>8}  ", palette.QUIET), (f"{read:>16}{written:>13}", palette.TEXT), (f"   {waited}", palette.STRONG)
    )


def _place(one: Waits) -> str:
    return one.what if one.place is None else f"{one.what} in {one.place}"


def _files(files: Sequence[FilePlace], width: int) -> list[Text]:
    room = max(10, width - 34)
    return [
        Text.assemble(
            ("writes " if one.is_written else "reads  ", palette.WARN if one.is_written else palette.QUIET),
            (fit_path(clean(one.path), room) + "  ", palette.TEXT),
            (clean(f"{one.device} {one.mount_point} ({one.file_system})"), palette.QUIET),
        )
        for one in files
    ]
