"""What the target exchanges with the world: disks and who fills them, sockets, connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, clean, count, duration_ns, fit, fit_path, percent
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences, wrapped
from perfwatch.tui.widgets.used import heat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_queues import DiskQueue, DiskShare, Queues, SocketState
    from perfwatch.tui.messages import Frame

_BAR: Final = 6
_SOCKETS: Final = 16
_DISKS: Final = 8
_WIDE: Final = 78
"""From here on the heading of the sockets has room for its last column."""


class HostTraffic(SectionPanel):
    """Over the last seconds of the view; sockets as of the last reading."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield what is known."""
        queues = frame.view.queues
        yield _disks(queues, width)
        yield Section("disk users", "", [_disk_user(user) for user in said.moving(queues.disk_users)])
        yield _listeners(frame, width)
        yield _sockets(queues, width)
        yield Section("connections", "", sentences(map(said.connections, queues.connections), width))


def _disks(queues: Queues, width: int) -> Section:
    head = f"{'busy':>17}{'depth':>7}{'each':>8}{'p99':>8}{'read':>11}{'written':>11}"
    lines = [line for one in queues.disks[:_DISKS] for line in (_disk(one), *_file_systems(one, width))]
    return Section("disks", head, lines)


def _disk(one: DiskQueue) -> Text:
    each, p99 = (NONE if ms is None else said.took(ms) for ms in (one.await_ms, one.p99_ms))
    moved = "".join(f"{said.octets(rate) + '/s':>11}" for rate in (one.read_bytes_s, one.written_bytes_s))
    return Text.assemble(
        (fit(clean(one.device), 11), palette.TEXT),
        gauge(one.utilisation, _BAR, heat(one.utilisation)),
        (f"{percent(one.utilisation):>6}", palette.STRONG),
        (f"{one.depth:>8.1f}{each:>9}{p99:>8}{moved}", palette.TEXT),
    )


def _file_systems(one: DiskQueue, width: int) -> list[Text]:
    lead = Text("  the target's files: ", style=palette.QUIET)
    return wrapped(lead, ", ".join(one.file_systems), width, palette.QUIET) if one.file_systems else []


def _disk_user(user: DiskShare) -> Text:
    return Text.assemble(
        (f"{user.pid:>8}  ", palette.QUIET),
        (f"{fit(clean(user.name), 16)} ", palette.STRONG if user.is_target else palette.TEXT),
        (f"{said.octets(user.read_bytes_s) + '/s read':>14}", palette.TEXT),
        (f"{said.octets(user.written_bytes_s) + '/s written':>18}", palette.TEXT),
        ("  the target" if user.is_target else "", palette.ACCENT),
    )


def _listeners(frame: Frame, width: int) -> Section:
    lines = [
        Text.assemble(
            (fit_path(clean(address), min(26, width - 24)) + " ", palette.TEXT),
            (f"{count(deepest)} of {count(limit)}", palette.ALARM if deepest >= limit > 0 else palette.TEXT),
        )
        for address, deepest, limit in frame.view.listeners
    ]
    return Section("accept queues", "the deepest that was seen", lines)


def _sockets(queues: Queues, width: int) -> Section:
    """List the connections in which something waits, or waited."""
    total = "" if queues.socket_count is None else f"{count(queues.socket_count)} in all"
    if not queues.sockets:
        lines = [] if queues.socket_count is None else [Text("none is open", style=palette.QUIET)]
        return Section("sockets", total, lines)
    open_ = [one for one in queues.sockets if one.role != "listening"]
    head = f"{total:<18}{'state':<13}{'not read':>9}{'unacked':>10}{'rtt':>9}"
    if width >= _WIDE and any(any(_held_up(one)) for one in open_[:_SOCKETS]):
        head += "  held up"
    return Section("sockets", head, [line for one in open_[:_SOCKETS] for line in _socket(one, width)])


def _socket(one: SocketState, width: int) -> list[Text]:
    """Show a connection; what held it up goes to a line of its own where there is no room."""
    arrow = "←" if one.role == "accepted" else "→"
    rtt = NONE if one.rtt_ns is None else said.took(one.rtt_ns / 1e6)
    text = Text.assemble(
        (f"{arrow} {fit_path(clean(one.peer or '?'), 24)} ", palette.TEXT),
        (fit(clean(one.state), 12), palette.QUIET),
        (f"{said.binary(one.recv_q):>10}", palette.STRONG if one.recv_q else palette.FAINT),
        (f"{said.binary(one.send_q):>10}", palette.STRONG if one.send_q else palette.FAINT),
        (f"{rtt:>9}  ", palette.TEXT),
    )
    held = ", ".join(_held_up(one))
    if text.cell_len + len(held) <= width:
        return [text.append(held, palette.WARN)]
    return [text, *wrapped(Text("  "), held, width, palette.WARN)]


def _held_up(one: SocketState) -> Iterator[str]:
    if one.rwnd_limited_ns:
        yield f"peer's window full {duration_ns(one.rwnd_limited_ns)}"
    if one.sndbuf_limited_ns:
        yield f"send buffer full {duration_ns(one.sndbuf_limited_ns)}"
    if one.retransmits:
        yield f"{count(one.retransmits)} sent again"
    if one.drops:
        yield f"{count(one.drops)} dropped"
