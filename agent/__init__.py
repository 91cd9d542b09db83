"""The agent: what is recorded, made of it, and told. `open_session` is the way in for a program of one's own.

What stands here is imported when it is asked for, so that `import perfwatch.agent` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfwatch.agent.analysis.session import Session, open_session
    from perfwatch.agent.errors import PerfwatchError

__all__ = ["PerfwatchError", "Session", "open_session"]
_PLACES: Final = {
    "PerfwatchError": "perfwatch.agent.errors",
    "Session": "perfwatch.agent.analysis.session",
    "open_session": "perfwatch.agent.analysis.session",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
