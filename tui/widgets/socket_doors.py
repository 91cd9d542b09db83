"""Before the connections: who waits to be accepted, how many there are of which state, what the network lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.draw import gauge
from perfwatch.tui.format import NONE, clean, count, fit_path, percent
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences
from perfwatch.tui.widgets.used import heat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfwatch.agent.model_lately import Door, Lately, NetworkUse
    from perfwatch.tui.messages import Frame

_BAR: Final = 6
_ADDRESS: Final = 22
_DOORS: Final = 4


class SocketDoors(SectionPanel):
    """As of the last reading; what was counted, over the last seconds."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the listening addresses, then the rest in as few lines as may be."""
        lately, queues = frame.view.lately, frame.view.queues
        head = f"{'now':>{_ADDRESS - 6}}{'lately':>{_BAR + 11}}{'deepest':>9}{'limit':>8}{'dropped':>12}"
        yield Section("accepting", head, list(_doors(lately.doors)))
        network = sorted(_network(lately.network), key=lambda fact: fact[0] != palette.ALARM)
        facts = _joined([*_states(lately, queues.socket_count), *network], width)
        opened = sentences(map(said.connections, queues.connections), width)
        yield Section("all of them", "", [*facts, *opened])


def _doors(doors: Sequence[Door]) -> Iterator[Text]:
    yield from map(_door, doors[:_DOORS])
    if len(doors) > _DOORS:
        yield Text(f"and {len(doors) - _DOORS} more", style=palette.QUIET)


def _door(one: Door) -> Text:
    share = None if one.now is None or not one.limit else one.now / one.limit
    is_full = one.deepest >= one.limit > 0
    now, lately = (NONE if number is None else count(number) for number in (one.now, one.lately))
    return Text.assemble(
        (fit_path(clean(one.address), _ADDRESS), palette.TEXT),
        (f"{now:>5} ", palette.STRONG),
        gauge(share, _BAR, heat(share)),
        (f"{lately:>9}", palette.TEXT),
        (f"{count(one.deepest):>9}", palette.ALARM if is_full else palette.TEXT),
        (f"{count(one.limit):>8}", palette.TEXT),
        (f"{count(one.turned_away):>12}", palette.ALARM if one.turned_away else palette.FAINT),
        (" full" if is_full else "", palette.ALARM),
    )


def _states(lately: Lately, total: int | None) -> Iterator[tuple[str, str]]:
    if total is None:
        return
    yield "", f"{count(total)} sockets"
    for state, number in lately.socket_states:
        yield (palette.WARN if state == "CLOSE_WAIT" else ""), f"{count(number)} {clean(state)}"
    for octets, what in ((lately.unread_bytes, "not read"), (lately.unacked_bytes, "unacknowledged")):
        if octets:
            yield palette.STRONG, f"{said.binary(octets)} {what}"


def _network(use: NetworkUse | None) -> Iterator[tuple[str, str]]:
    if use is None:
        return
    yield "", f"{said.octets(use.received_bytes_s)}/s in, {said.octets(use.sent_bytes_s)}/s out (without loopback)"
    if use.retransmitted is not None:
        yield (
            (palette.WARN if use.retransmitted else ""),
            f"{percent(use.retransmitted, digits=1)} of segments sent again",
        )
    if use.overflows is not None:
        yield (palette.ALARM if use.overflows else ""), f"{count(use.overflows)} met a full accept queue"
    yield (palette.ALARM if use.refused else ""), f"{count(use.refused)} dropped at listening sockets"
    if use.interface_errors:
        yield palette.WARN, f"{count(use.interface_errors)} lost or damaged at interfaces"


def _joined(told: list[tuple[str, str]], width: int) -> list[Text]:
    """Set facts after each other; one that does not fit begins a line."""
    lines: list[Text] = []
    for style, fact in told:
        if not lines or lines[-1].cell_len + len(fact) + 3 > width:
            lines.append(Text())
        else:
            lines[-1].append("   ")
        lines[-1].append(fact, style or palette.QUIET)
    return lines
