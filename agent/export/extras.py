"""What is installed only for those who want it: a library that is missing is one line, with its remedy."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from perfwatch.agent.errors import PerfwatchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Import in this block what comes with `perfwatch[EXTRA]`; PerfwatchError where `what` lacks a library."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise PerfwatchError(
            f"{what} needs {error.name}, which is not installed", f"pip install 'perfwatch[{extra}]'"
        ) from None
