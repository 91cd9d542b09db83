"""What a name means that a function uses: `lock`, `self._lock`, `module.Class.lock`, in one of its frames.

A variable is one of the frame's, else of its module. An attribute is that of an instance, else of its class; of a
module or a class their own. What code would compute (properties, `__getattr__`) means nothing, nor what stands in the
body of a class or is executed by itself: there a name can mean one of two things. Cost: 20 us a part of a name, and 30
us a class that is looked through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes.cpython.objects import integer
from perfwatch.probes.cpython.variables import Variables

if TYPE_CHECKING:
    from perfwatch.probes.cpython.attributes import Attributes
    from perfwatch.probes.cpython.kinds import Kinds
    from perfwatch.probes.cpython.python import Python

MAX_CLASSES: Final = 64
"""That one is made of."""
_OPTIMIZED: Final = 1
"""CO_OPTIMIZED: it is a function, whose variables have places."""
_INT: Final = 4
_NO_DESCRIPTOR: Final = frozenset({"_thread.lock", "_thread.RLock", "NoneType", "member_descriptor"})
"""What a class has of these types under a name, an instance may have another under."""


class Scope(NamedTuple):
    """A frame."""

    code: int
    variables: int
    """Where its first variable lies: what the frame says of itself, lies before."""


class Named:
    """Tells it; its methods raise Vanished, as `Memory` does."""

    def __init__(self, python: Python, kinds: Kinds, attributes: Attributes) -> None:
        self._memory = python.memory
        self._layout = python.layout
        self._kinds = kinds
        self._attributes = attributes
        self._variables = Variables(python, kinds, attributes)

    def of(self, frame: Scope, name: str) -> int | None:
        """Return the address of what a name means in a frame."""
        variable, *rest = name.split(".")
        thing = self._variable(frame, variable)
        for attribute in rest:
            thing = self.attribute(thing, attribute) if thing else None
        return thing

    def attribute(self, thing: int, name: str) -> int | None:
        """Return the attribute of an object."""
        if self._kinds.name(thing):
            return self._of_class(thing, name)
        if self._kinds.name_of(thing) == "module":
            return self._item(self._memory.word(thing + self._layout["module.dict"]), name)
        kind = self._memory.word(thing + self._layout["ob.type"])
        shared = self._of_class(kind, name) if kind else None
        if shared and self._kinds.name_of(shared) not in _NO_DESCRIPTOR:
            return None
        own = self._attributes.of(thing, name, kind)
        return own.value if own else shared

    def _variable(self, frame: Scope, name: str) -> int | None:
        flags = self._memory.read(frame.code + self._layout["co.flags"], _INT)
        if not flags or not integer(flags, 0, _INT) & _OPTIMIZED:
            return None
        if name in self._variables.numbers(frame.code):
            found = self._variables.of(frame.code, frame.variables, name)
            return found.value if found else None
        start = frame.variables - self._layout["f.localsplus"]
        return self._item(self._memory.word(start + self._layout["f.globals"]), name)

    def _of_class(self, kind: int, name: str) -> int | None:
        """Return what the first class has under a name, of those that one is made of."""
        order = self._memory.word(kind + self._layout["type.mro"])
        for one in (self._attributes.items(order) if order else ())[:MAX_CLASSES]:
            found = self._item(self._memory.word(one + self._layout["type.dict"]), name)
            if found:
                return found
        return None

    def _item(self, dictionary: int | None, name: str) -> int | None:
        found = self._attributes.item(dictionary, name) if dictionary else None
        return found.value if found else None
