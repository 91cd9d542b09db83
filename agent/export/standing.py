"""How things stand at one moment of a stream, for another thread: nothing in it changes any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from perfwatch.agent.export.totals import Totals
    from perfwatch.agent.model import SessionInfo, View


class Standing(NamedTuple):
    """Totals since the beginning, and the view of this moment."""

    info: SessionInfo
    totals: Totals
    view: View
