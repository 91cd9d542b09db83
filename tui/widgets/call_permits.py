"""What comes before a call: waits for pooled connections and permits, and the setting up of connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from perfwatch.agent import report_sentences as said
from perfwatch.tui import palette
from perfwatch.tui.format import count, duration
from perfwatch.tui.widgets.sections import Section, SectionPanel, sentences, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfwatch.agent.model_lately import Waits
    from perfwatch.tui.messages import Frame


class CallPermits(SectionPanel):
    """Waits are those of the judged requests that the view holds."""

    def sections(self, frame: Frame, width: int) -> Iterator[Section]:
        """Yield the pools; where nobody waited for one, that."""
        view = frame.view
        lines = [line for one in view.permits for line in _waited(one, width)]
        none = [Text("no judged request waited for a pooled connection or a permit", style=palette.QUIET)]
        yield Section("pools and permits", "", lines or none)
        opened = [one for one in view.queues.connections if one.role == "connected"]
        yield Section("opened lately", "", sentences(map(said.connections, opened), width))


def _waited(one: Waits, width: int) -> list[Text]:
    lead = Text.assemble((f"{duration(one.total_ms):>9}  ", palette.STRONG))
    who = ", ".join(f"{name} ({requests})" for name, requests in one.endpoints)
    told = f"for {one.what}: {count(one.waits)} waits, at most {duration(one.longest_ms)}; {who}"
    return wrapped(lead, told, width)
