"""The one kind of failure that perfwatch explains to its user: one line, with a remedy."""

from __future__ import annotations


class PerfwatchError(Exception):
    """A failure that is the user's to know: what went wrong, and after it what to do.

    The command line prints `str(error)` on one line and exits with 1.
    """

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} ({remedy})" if remedy else problem)
