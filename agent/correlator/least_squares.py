"""Weighted linear least squares of up to three unknowns, by the normal equations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SINGULAR: Final = 1e-12
"""Of a pivot, with columns of length 1."""


def solve(rows: Sequence[Sequence[float]], values: Sequence[float], weights: Sequence[float]) -> list[float] | None:
    """Return what makes the weighted squares of `rows * it - values` least; None where that is not one thing."""
    inverted = inverse(rows, weights)
    if inverted is None:
        return None
    size = len(inverted)
    right = [sum(w * row[i] * v for row, v, w in zip(rows, values, weights, strict=True)) for i in range(size)]
    return [sum(inverted[i][j] * right[j] for j in range(size)) for i in range(size)]


def inverse(rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[list[float]] | None:
    """Return the inverse of rows' * weights * rows; None where that has none."""
    size = len(rows[0])
    normal = [
        [sum(w * row[i] * row[j] for row, w in zip(rows, weights, strict=True)) for j in range(size)]
        for i in range(size)
    ]
    if any(normal[i][i] <= 0 for i in range(size)):
        return None
    # Columns of length 1, so that what is small and what is singular are not taken for each other.
    scale = [normal[i][i] ** -0.5 for i in range(size)]
    scaled = [[normal[i][j] * scale[i] * scale[j] for j in range(size)] for i in range(size)]
    inverted = _inverted(scaled)
    if inverted is None:
        return None
    return [[inverted[i][j] * scale[i] * scale[j] for j in range(size)] for i in range(size)]


def _inverted(matrix: list[list[float]]) -> list[list[float]] | None:
    """Invert by Gauss and Jordan; symmetric and positive definite, so that its diagonal has the pivots."""
    size = len(matrix)
    work = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        if work[i][i] <= _SINGULAR:
            return None
        work[i] = [value / work[i][i] for value in work[i]]
        for j in range(size):
            if j != i:
                work[j] = [mine - work[j][i] * its for mine, its in zip(work[j], work[i], strict=True)]
    return [row[size:] for row in work]
