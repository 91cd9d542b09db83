"""What the benchmarks with rounds share: every cell once a round, in an order of its own, and a section of Markdown.

Figures are compared within a round; the tables show the median over the rounds, and how far they spread.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE: Final = Path(__file__).parent.parent / "docs" / "benchmarks.md"
UNWATCHED: Final = "nothing"


class Measured(Protocol):
    """What one observer came to in one round."""

    @property
    def round(self) -> int: ...

    @property
    def observer(self) -> str: ...


Cell = TypeVar("Cell")
Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=Measured)


def in_rounds(rounds: int, cells: Sequence[Cell], measure: Callable[[int, Cell], Result]) -> list[Result]:
    """Measure every cell once a round; tells on the standard error how far it is."""
    results = []
    for number in range(rounds):
        turns = list(cells)
        random.Random(number).shuffle(turns)
        for cell in turns:
            results.append(measure(number, cell))
            sys.stderr.write(f"round {number + 1}/{rounds}: {cell}\n")
    return results


def median(results: Sequence[Kind], figure: Callable[[Kind], float]) -> float:
    return statistics.median(map(figure, results))


def ratios(results: Sequence[Kind], observer: str, figure: Callable[[Kind], float]) -> str:
    """Return `1.02 (0.98-1.05)`: an observer's figure to that of nobody in the same round."""
    bases = {result.round: figure(result) for result in results if result.observer == UNWATCHED}
    found = [figure(result) / bases[result.round] for result in results if result.observer == observer]
    return f"{statistics.median(found):.3f} ({min(found):.3f}-{max(found):.3f})"


def machine() -> str:
    system = f"Linux {platform.release()}, {platform.machine()}, {psutil.cpu_count()} CPUs"
    return f"{system}, Python {platform.python_version()}."


def run(doc: str | None, name: str, made: Callable[[int, float], list[str]], full: tuple[int, float]) -> int:
    """Take the options, print the section that is `made` with so many rounds of so many seconds, and maybe write it."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=full[0])
    parser.add_argument("--seconds", type=float, default=full[1], help="of load per cell")
    parser.add_argument("--quick", action="store_true", help="1 round of 2 s: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    options = parser.parse_args()
    lines = made(*((1, 2.0) if options.quick else (options.rounds, options.seconds)))
    sys.stdout.write("\n".join([*lines, ""]))
    if options.write:
        put(name, lines)
    return 0


def put(name: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put a section into the page of benchmarks, in the place of the one before."""
    begin, end = f"<!-- {name}: written by benchmarks/{name}.py -->", f"<!-- end of {name} -->"
    told = page.read_text() if page.exists() else "# Benchmarks\n\n"
    before, found, rest = told.partition(begin)
    after = rest.partition(end)[2].lstrip("\n") if found else ""
    text = "\n".join([begin, *lines, end, ""])
    page.write_text(before.rstrip("\n") + "\n\n" + text + (f"\n{after}" if after else ""))
