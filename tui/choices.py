"""What a person chose on the screens, and what is kept of it until the next run."""

from __future__ import annotations

import msgspec


class Choices(msgspec.Struct):
    """How the lists are sorted and filtered."""

    sort: str = ""
    reverse: bool = False
    filter: str = ""
