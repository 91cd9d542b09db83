"""What somebody chose to see of lists: it holds on all screens, and can be kept from one run to the next."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias, get_args

import msgspec

Order: TypeAlias = Literal["time", "took", "endpoint", "status", "cause"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)


class Choices(msgspec.Struct, frozen=True):
    """How requests are sorted, and which are shown."""

    sort: Order = "time"
    reverse: bool = False
    """The newest, the longest, the failed stand first; else what comes first in the alphabet: unless reversed."""
    filter: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    """In the words of `filtering.py`, as it was typed."""
