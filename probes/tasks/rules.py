"""Which rules hold for a function: those that name a local variable of it, and itself, if they name a function."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from perfwatch.probes.cpython.kept import KEPT_FOR_NS, MAX_KEPT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.variables import Variables


class Rule(Protocol):
    """What every rule names."""

    @property
    def variable(self) -> str:
        """A local variable."""
        ...

    @property
    def function(self) -> str:
        """Bare name of the function that has it; empty: any."""
        ...

    @property
    def file(self) -> str:
        """What the name of its file ends with."""
        ...


R = TypeVar("R", bound=Rule)
_NONE: Final = ()


class Rules(Generic[R]):
    """Some rules, and for which code objects they hold; kept for a second. Raises Vanished, as `Memory` does."""

    def __init__(self, rules: Sequence[R], codes: Codes, variables: Variables) -> None:
        self._rules = rules
        self._codes = codes
        self._variables = variables
        self._known: dict[int, Sequence[R]] = {}
        self._until_ns = 0

    def of(self, code: int, position: int) -> Sequence[R]:
        """Return the rules that hold for what a frame executes."""
        known = self._known.get(code)
        if known is None:
            known = self._known[code] = self._holding(code, position)
        return known

    def renew(self) -> None:
        """Forget what is a second old; called before some frames are asked for."""
        if time.monotonic_ns() > self._until_ns or len(self._known) > MAX_KEPT:
            self._known.clear()
            self._until_ns = time.monotonic_ns() + KEPT_FOR_NS

    def _holding(self, code: int, position: int) -> Sequence[R]:
        numbers = self._variables.numbers(code)
        named = [rule for rule in self._rules if rule.variable in numbers]
        frame = self._codes.frame(code, position) if named else None
        if frame is None:
            return _NONE
        bare = frame.function.rpartition(".")[2]
        return tuple(rule for rule in named if rule.function in {"", bare} and frame.file.endswith(rule.file))
