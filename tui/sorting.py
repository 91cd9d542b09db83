"""In which order requests are listed; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from perfwatch.agent.model import Request
    from perfwatch.tui.choices import Choices, Order

_KEYS: Final[dict[Order, Callable[[Request], Any]]] = {
    "time": lambda request: request.record.ended_ns,
    "took": lambda request: request.ledger.total_ns,
    "endpoint": lambda request: request.endpoint[::-1],
    "status": lambda request: (request.failed, request.record.status or 0),
    "cause": lambda request: "~" if request.verdict is None else request.verdict.mechanism or "~",
}
_LARGEST_FIRST: Final = frozenset({"time", "took", "status"})


def arranged(requests: Iterable[Request], choices: Choices) -> list[Request]:
    """Sort requests that come in order of delivery; among equals the newest stands first."""
    newest_first = list(requests)[::-1]
    return sorted(newest_first, key=_KEYS[choices.sort], reverse=is_falling(choices))


def is_falling(choices: Choices) -> bool:
    """Tell whether the largest stands first."""
    return (choices.sort in _LARGEST_FIRST) != choices.reverse
