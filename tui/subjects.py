"""What requests can be picked out by, from a page of something that they used: a kind of calls, a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from perfwatch.tui.connected import Connected, connections_of
from perfwatch.tui.connected import told_of as connection_told
from perfwatch.tui.widgets.called_rows import Kind, kinds_of
from perfwatch.tui.widgets.called_rows import told_of as kind_told

if TYPE_CHECKING:
    from rich.text import Text

    from perfwatch.agent.model import Request, View


class Subject(Protocol):
    """Frozen: of a later view `renewed` returns another one."""

    def renewed(self, view: View) -> Subject:
        """Return it as the view has it; itself, where it is not in the view any more."""
        ...

    def told(self) -> Text:
        """Tell it in full."""
        ...

    def used_by(self, request: Request) -> bool:
        """Tell whether a request used it."""
        ...


class OfKind(NamedTuple):
    """Calls of one operation to one peer."""

    kind: Kind

    def renewed(self, view: View) -> OfKind:
        """Return it with its newest figures."""
        return OfKind(next((kind for kind in kinds_of(view) if kind.key == self.kind.key), self.kind))

    def told(self) -> Text:
        """Tell what was asked of whom."""
        return kind_told(self.kind)

    def used_by(self, request: Request) -> bool:
        """Tell whether a request made such a call."""
        calls = self.kind.calls
        mine = (calls.peer, calls.protocol, calls.operation, calls.kind)
        return any((one.peer, one.protocol, one.operation, one.kind) == mine for one in request.record.calls)


class OnConnection(NamedTuple):
    """One connection: requests came on it, or called on it."""

    connected: Connected

    def renewed(self, view: View) -> OnConnection:
        """Return it as it was at the last reading."""
        cookie = self.connected.state.cookie
        found = (one for one in connections_of(view) if one.state.cookie == cookie)
        return OnConnection(next(found, self.connected))

    def told(self) -> Text:
        """Tell its ends, its queues and what held it up."""
        return connection_told(self.connected)

    def used_by(self, request: Request) -> bool:
        """Tell whether a request came or called on it."""
        record, cookie = request.record, self.connected.state.cookie
        return record.connection == cookie or any(one.connection == cookie for one in record.calls)
