"""What a call instruction calls, as the caller wrote it: `hashlib.sha256`, `.match` of what has no name itself. Pure.

A C function has no Python frame; the instruction that its caller stands at names it. The callable lies some places
below the top of the stack, so instructions are followed backwards, by how each changes the height of the stack, to the
one that put it there. Where an expression branches (`f(a if b else c)`) one branch is followed, for both leave the
stack equally high; where a branch goes around that instruction the callable may be another one, and has no name here.

Rather none than a wrong one: whatever is not understood ends the search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.cpython.bytecode import Instruction

MAX_STEPS: Final = 512
"""So many instructions are followed back."""
MAX_ATTRIBUTES: Final = 8
"""Of a name: `a.b.c` has two."""
_ENTERED: Final = {
    "SETUP_WITH": "__enter__",
    "BEFORE_WITH": "__enter__",
    "SETUP_ASYNC_WITH": "__aenter__",
    "BEFORE_ASYNC_WITH": "__aenter__",
}
_GLOBAL: Final = frozenset({"LOAD_NAME", "LOAD_GLOBAL"})
_LOCAL: Final = frozenset({"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_DEREF", "LOAD_CLASSDEREF"})
_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_FLAGGED_SINCE: Final = {"LOAD_GLOBAL": (3, 11), "LOAD_ATTR": (3, 12)}
_WITH_SELF: Final = _ATTRIBUTE | {"LOAD_GLOBAL", "LOAD_SUPER_ATTR"}
"""They may put `self`, or nothing, on the stack with what they are named after."""
_TWO_LOCALS: Final = frozenset({"LOAD_FAST_LOAD_FAST", "STORE_FAST_LOAD_FAST"})
_NOTHING: Final = frozenset({"NOP", "RESUME", "KW_NAMES"})
_ONLY_TAKE: Final = ("POP_", "STORE_", "DELETE_")
"""They put nothing on the stack; nor do jumps, but for these."""
_JUMPS_THAT_PUT: Final = frozenset({"FOR_ITER", "SEND", "SETUP_WITH", "SETUP_ASYNC_WITH", "SETUP_FINALLY"})
_ONLY_PUT: Final = ("LOAD_", "BUILD_", "PUSH_NULL")
"""They put on the stack as much as it grows; of others it is taken that they replace one thing."""
_EXCHANGED: Final = {"ROT_TWO": 2, "ROT_THREE": 3, "ROT_FOUR": 4}
_MOVE: Final = frozenset({"SWAP", "ROT_N"})
_NULL: Final = "PUSH_NULL"
NO_WAY_ON: Final = frozenset(
    {"JUMP_FORWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"}
    | {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"}
)


class Names(Protocol):
    """The names that a code object's instructions number."""

    def of_global(self, number: int) -> str | None:
        """Return a name of `co_names`."""
        ...

    def of_local(self, number: int, *, cell: bool) -> str | None:
        """Return the name of a local variable; `cell`: before 3.11, of one that closures share."""
        ...


class _Place(NamedTuple):
    """Something on the stack as it is behind an instruction, with so many things above it."""

    behind: int
    above: int


def called(minor: tuple[int, int], code: Sequence[Instruction], index: int, names: Names) -> str | None:
    """Return what the instruction at an index calls; None if it calls nothing, or nothing that has a name."""
    if code[index].name == "CALL" and minor == (3, 11):
        index -= 1  # its arguments are counted by the PRECALL before it
    instruction = code[index]
    if entered := _ENTERED.get(instruction.name):
        name = _Search(minor, code, names).name(_Place(index - 1, 0))
        return f"{name}.{entered}" if name else None
    above = _above_callable(minor, instruction)
    if above is None:
        return None
    search = _Search(minor, code, names)
    place = _Place(index - 1, above)
    return search.name(place) if search.is_callable(place) else None


def loaded(minor: tuple[int, int], instruction: Instruction, names: Names) -> str | None:
    """Return the name of the one variable or attribute that an instruction loads."""
    kind, number = instruction.name, instruction.argument
    if kind in _LOCAL:
        return names.of_local(number, cell="DEREF" in kind)
    if kind == "LOAD_SUPER_ATTR":
        return names.of_global(number >> 2)
    # The lowest bit may say that a second thing is pushed, for a call.
    has_flag = minor >= _FLAGGED_SINCE.get(kind, (4, 0))
    return names.of_global(number >> has_flag) if kind in _GLOBAL or kind in _ATTRIBUTE else None


def _above_callable(minor: tuple[int, int], instruction: Instruction) -> int | None:
    """Return how many things lie above the callable; None where nothing is called.

    From 3.13 on `self`, or nothing, lies between the callable and its arguments; before that, below the callable.
    """
    own = int(minor >= (3, 13))
    match instruction.name:
        case "CALL" | "CALL_FUNCTION" | "CALL_METHOD" | "PRECALL":
            return instruction.argument + own
        case "CALL_KW" | "CALL_FUNCTION_KW":
            return instruction.argument + 1 + own
        case "CALL_FUNCTION_EX":
            return 1 + (instruction.argument & 1) + own
    return None


class _Search:
    """Follows one code object's instructions backwards."""

    def __init__(self, minor: tuple[int, int], code: Sequence[Instruction], names: Names) -> None:
        self._minor = minor
        self._code = code
        self._names = names
        self._sources: dict[int, list[int]] | None = None

    def name(self, place: _Place, attributes: int = 0) -> str | None:
        """Return the name of what lies at a place; of an attribute of something without a name `.attribute`."""
        found = self._producer(place)
        if found is None:
            return None
        instruction = self._code[found.behind]
        kind, number = instruction.name, instruction.argument
        if kind in _ATTRIBUTE:
            owner = self.name(_Place(found.behind - 1, 0), attributes + 1) if attributes < MAX_ATTRIBUTES else None
            return _dotted(owner, loaded(self._minor, instruction, self._names))
        if kind == "LOAD_SUPER_ATTR":
            return _dotted(None, loaded(self._minor, instruction, self._names))
        if kind in _TWO_LOCALS:
            return self._names.of_local(number >> 4 if found.above else number & 15, cell=False)
        return loaded(self._minor, instruction, self._names)

    def is_callable(self, place: _Place) -> bool:
        """Whether what lies at the place of a callable is one.

        In 3.11 and 3.12 a call whose compiler had its function and its first argument on the stack already (`assert`,
        a decorator) has the argument in that place; in other calls there is nothing below it, or its `self`.
        """
        if not (3, 11) <= self._minor <= (3, 12):
            return True
        below = self._producer(_Place(place.behind, place.above + 1))
        if below is None:
            return False
        kind = self._code[below.behind].name
        return kind == _NULL or (
            below.above == 1 and (kind in _ATTRIBUTE or kind in {"LOAD_GLOBAL", "LOAD_SUPER_ATTR"})
        )

    def _producer(self, place: _Place) -> _Place | None:
        """Return the instruction that put it there, and what that put above it."""
        index, above = place
        for _ in range(MAX_STEPS):
            if index < 0:
                return None
            if above < self._put(self._code[index]):
                return None if self._is_gone_around(index, place.behind) else _Place(index, above)
            before = self._before(index, above)
            if before is None:
                return None
            index, above = before
        return None

    def _is_gone_around(self, producer: int, behind: int) -> bool:
        """Whether a jump leads from before the producer to behind it, with something else on the stack."""
        return any(source <= producer for each in range(producer + 1, behind + 2) for source in self._jumps_to(each))

    def _before(self, index: int, above: int) -> _Place | None:
        """Go back over one instruction, or over a jump to behind it where there is no way on from it."""
        jumps = self._code[index].name in NO_WAY_ON
        if jumps:
            sources = self._jumps_to(index + 1)
            if not sources:
                return None
            index = sources[0]
        effect = self._code[index].effect(jumps=jumps)
        return None if effect is None or effect > above else _Place(index - 1, above - effect)

    def _put(self, instruction: Instruction) -> int:
        """Return how many of the uppermost things on the stack it put or may have put there, or moved."""
        kind, effect = instruction.name, instruction.effect() or 0
        if kind in _TWO_LOCALS:
            return effect or 1
        if kind in _MOVE or kind in _EXCHANGED:
            return _EXCHANGED.get(kind, instruction.argument)
        is_jump = instruction.target is not None and kind not in _JUMPS_THAT_PUT
        if is_jump or kind in _NOTHING or kind in NO_WAY_ON or kind.startswith(_ONLY_TAKE):
            return 0
        if kind == _NULL and self._minor >= (3, 13):
            return 0  # it lies above the callable, which is looked for
        if kind == "LOAD_SUPER_ATTR":
            return effect + 3
        replaces = kind in _ATTRIBUTE or not kind.startswith(_ONLY_PUT)
        return max(effect, 0) + (1 if replaces or effect <= 0 else 0)

    def _jumps_to(self, index: int) -> list[int]:
        """Return the places of the instructions that may jump to one, in order."""
        if self._sources is None:
            places = {each.offset: place for place, each in enumerate(self._code)}
            self._sources = {}
            for place, each in enumerate(self._code):
                if each.target is not None and each.target in places:
                    self._sources.setdefault(places[each.target], []).append(place)
        return self._sources.get(index, [])


def _dotted(owner: str | None, attribute: str | None) -> str | None:
    return None if attribute is None else f"{owner or ''}.{attribute}"
