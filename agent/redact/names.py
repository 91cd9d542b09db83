"""Pseudonyms: the same text has the same one within one output, and nothing leads back."""

from __future__ import annotations

from collections import Counter


class Names:
    """Hands out `peer-1`, `peer-2`, ... in the order in which texts are met; a new one for each output."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()

    def of(self, kind: str, text: str, form: str = "{kind}-{number}") -> str:
        """Return the pseudonym of a text among those of its kind."""
        given = self._given.get((kind, text))
        if given is None:
            self._counts[kind] += 1
            given = self._given[kind, text] = form.format(kind=kind, number=self._counts[kind])
        return given
