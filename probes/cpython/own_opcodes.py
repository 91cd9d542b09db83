"""Prints what an interpreter knows of its own instructions, as JSON. Run by derive.py with each version, 3.8 and later.

For each instruction that compilers write: `numbers` (its own first, then those of its specialised and instrumented
forms), `caches` (code units behind it), `effect` on the height of the stack, and of those that jump `jump` and
`jumped` (the effect when it does). An effect is [slope, period...]: slope * argument + period[argument % len(period)].
"""

from __future__ import annotations

import dis
import json
import opcode
import sys

_ARGUMENTS = 16
_PERIODS = (1, 2, 4, 8, 16)
_PSEUDO = 256
"""From here on they exist within the compiler only."""
_PREFIX = "INSTRUMENTED_"


def main() -> None:
    """Print the table."""
    numbers: dict[str, int] = getattr(dis, "_all_opmap", dis.opmap)
    real = [name for name, number in numbers.items() if name in dis.opmap and number < _PSEUDO]
    json.dump({name: _facts(name, numbers) for name in real}, sys.stdout)


def _facts(name: str, numbers: dict[str, int]) -> dict[str, object]:
    number = numbers[name]
    specialised = getattr(dis, "deoptmap", {})
    forms = [form for form in numbers if specialised.get(form) == name or form == _PREFIX + name]
    facts: dict[str, object] = {
        "numbers": [number, *sorted(numbers[form] for form in forms)],
        "caches": _caches(name, number),
        "effect": _effect(number, jump=False),
    }
    if number in dis.hasjabs or number in dis.hasjrel:
        facts["jump"] = "absolute" if number in dis.hasjabs else "back" if "BACKWARD" in name else "forward"
        facts["jumped"] = _effect(number, jump=True)
    return facts


def _caches(name: str, number: int) -> int:
    entries = getattr(opcode, "_inline_cache_entries", {})
    found: int = entries.get(name, 0) if isinstance(entries, dict) else entries[number]
    return found


def _effect(number: int, *, jump: bool) -> list[int] | None:
    try:
        found = [dis.stack_effect(number, argument, jump=jump) for argument in range(_ARGUMENTS)]
    except ValueError:
        try:
            return [0, dis.stack_effect(number, jump=jump)]
        except ValueError:
            return None  # not an instruction that is executed
    slope = found[1] - found[0]
    if found == [found[0] + slope * argument for argument in range(_ARGUMENTS)]:
        return [slope, found[0]]
    period = next(size for size in _PERIODS if found == (found[:size] * _ARGUMENTS)[:_ARGUMENTS])
    return [0, *found[:period]]


if __name__ == "__main__":
    main()
