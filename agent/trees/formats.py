"""A call tree for other programs, as pyinstrument writes it; `perfwatch export` has more formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyinstrument.renderers import JSONRenderer

if TYPE_CHECKING:
    from pyinstrument.session import Session


def to_json(session: Session) -> str:
    """Return the whole tree as pyinstrument's JSON, one line; times are seconds, rounded to the microsecond."""
    return str(JSONRenderer(show_all=True).render(session))
