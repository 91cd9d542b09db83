"""Which generation each of some collections was of, told by the collector's counts before and after them. Pure.

The counts say how many there were of each. Their order follows from the rule by which the collector chooses, where that
leads to the counts that were found: the oldest generation of which the next younger was collected more often than its
threshold says. The very oldest waits, beyond it, until enough objects are new, or is asked for by `gc.collect()`: the
place of a single one follows from how often the others were collected since, the places of several from their lengths,
if these leave no doubt. Where the rule does not lead there, only what the counts leave no doubt of is told. (Where a
program asks for a younger generation by its number, among others and within one reading, the order may be mistaken.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.probes.pauses.counting import Counts

CLEARLY: Final = 4
"""The oldest generation holds all objects: to collect it takes more often so many times as long as any other."""
_YOUNG, _MIDDLE, _OLD = 0, 1, 2


def ran_between(before: Counts, after: Counts) -> list[int]:
    """Return how often each generation was collected."""
    return [new - old for old, new in zip(before.ran, after.ran, strict=True)]


def generations(before: Counts, after: Counts, lengths: Sequence[int]) -> list[int | None]:
    """Return the generation of each collection between two readings, in order of time, that took so long."""
    ran = ran_between(before, after)
    total = sum(ran)
    if total in ran:
        return [ran.index(total)] * total
    if after.counts[_OLD] < 0 or not 0 <= after.counts[_MIDDLE] <= ran[_YOUNG]:
        return [None] * total
    olds = _single_old(before, after, total) if ran[_OLD] == 1 else _longest(lengths, ran[_OLD])
    return _by_rule(before, after, ran, olds) or _by_counts(after, ran)


def _by_rule(before: Counts, after: Counts, ran: list[int], olds: set[int] | None) -> list[int | None] | None:
    """Choose as the collector does, but for the places of the oldest, if known; None if that leads to other counts."""
    _, middle_threshold, old_threshold = before.thresholds
    _, middle, old = before.counts
    left = list(ran)
    chosen: list[int | None] = []
    for place in range(sum(ran)):
        is_old = old > old_threshold if olds is None else place in olds
        if is_old and left[_OLD]:
            generation, middle, old = _OLD, 0, 0
        elif middle > middle_threshold and left[_MIDDLE]:
            generation, middle, old = _MIDDLE, 0, old + 1
        else:
            generation, middle = _YOUNG, middle + 1
        left[generation] -= 1
        chosen.append(generation)
    return chosen if not any(left) and (middle, old) == after.counts[1:] else None


def _single_old(before: Counts, after: Counts, total: int) -> set[int]:
    """Return the place of the one that collected the oldest: so many collections of the others have followed."""
    cycle = before.thresholds[_MIDDLE] + 2
    return {total - 1 - after.counts[_OLD] * cycle - after.counts[_MIDDLE]}


def _longest(lengths: Sequence[int], number: int) -> set[int] | None:
    """Return the places of so many collections, if each took several times as long as any other."""
    if not number:
        return None
    by_length = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    shortest, next_longest = (lengths[place] for place in by_length[number - 1 : number + 1])
    return set(by_length[:number]) if shortest >= CLEARLY * next_longest else None


def _by_counts(after: Counts, ran: list[int]) -> list[int | None]:
    """Tell those that have followed the last one of another generation, and that one."""
    total = sum(ran)
    last = total - 1 - after.counts[_MIDDLE]
    told: list[int | None] = [_YOUNG if total - ran[_YOUNG] == 1 or place > last else None for place in range(total)]
    told[last] = _OLD if not ran[_MIDDLE] or (ran[_OLD] and after.counts[_OLD] == 0) else _MIDDLE
    return told
