"""Planes in the space of all weights: two directions through a point, and how much of a path lies in them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

COLUMNS = 1 << 16  # weights at a time: differences of all checkpoints in double precision need not be held at once
NOTHING = 1e-7  # of a direction, against the first: what is left of it is rounding


@dataclass(frozen=True, eq=False)
class Plane:
    """All points `origin + x * directions[0] + y * directions[1]`."""

    origin: Array
    directions: Array

    def at(self, x: float, y: float) -> Array:
        return self.origin + x * self.directions[0] + y * self.directions[1]  # type: ignore[no-any-return]

    def coordinates(self, weights: Array) -> Array:
        """Where points fall on the plane: their nearest places in it."""
        inner = self.directions @ self.directions.T
        along = np.zeros((len(weights), 2))
        for cut in _columns(weights):
            along += (weights[:, cut].astype(np.float64) - self.origin[cut]) @ self.directions[:, cut].T
        return along @ np.linalg.pinv(inner, hermitian=True)

    def share(self, weights: Array) -> tuple[Array, float]:
        """Of each piece of a path the share of its length that lies in the plane, and of the whole.

        The first number, before any piece, is 1.
        """
        basis = orthonormal(self.directions)
        along, squares = np.zeros((len(weights) - 1, len(basis))), np.zeros(len(weights) - 1)
        for cut in _columns(weights):
            pieces = np.diff(weights[:, cut].astype(np.float64), axis=0)
            along += pieces @ basis[:, cut].T
            squares += np.square(pieces).sum(1)
        inside, length = np.sqrt(np.square(along).sum(1)), np.sqrt(squares)
        moved = length > 0
        share = np.ones(len(weights))
        share[1:][moved] = np.minimum(1.0, inside[moved] / length[moved])
        total = min(1.0, float(inside.sum() / length.sum())) if moved.any() else 1.0
        return share, total


def principal(parts: Sequence[Array], origin: Array, seed: int = 0) -> Array:
    """The two directions in which checkpoints differ most from a point: orthonormal.

    Where they differ in fewer, a random direction takes the second place; with one weight there is none, and it is 0.
    """
    count = sum(map(len, parts))
    gram = np.zeros((count, count))
    for cut in _columns(parts[0]):
        own = np.concatenate([part[:, cut].astype(np.float64) for part in parts]) - origin[cut]
        gram += own @ own.T
    _, vectors = np.linalg.eigh(gram)  # as small as the checkpoints are few
    chosen = vectors[:, [-1, -2]] if count > 1 else vectors[:, [-1, -1]]
    found = np.zeros((2, len(origin)))
    for cut in _columns(parts[0]):
        own = np.concatenate([part[:, cut].astype(np.float64) for part in parts]) - origin[cut]
        found[:, cut] = chosen.T @ own
    found = _completed(found, seed)
    largest = np.take_along_axis(found, np.abs(found).argmax(1)[:, None], 1)
    return found * np.where(largest < 0, -1.0, 1.0)


def filtered(shapes: Sequence[Sequence[int]], weights: Array, seed: int = 0) -> Array:
    """Two random directions, each filter of them as long as that of the weights (Li et al. 2018, arXiv:1712.09913).

    A filter is a row of a matrix or a kernel. Biases and norms' scales do not move, as in the paper, unless there is
    nothing else: then each of them counts as one filter.
    """
    draw = np.random.default_rng(seed)
    matrices = any(len(shape) > 1 for shape in shapes)
    found = np.zeros((2, len(weights)))
    start = 0
    for shape in shapes:
        end = start + math.prod(shape)
        rows = shape[0] if len(shape) > 1 else 1
        if end > start and (len(shape) > 1 or not matrices):
            own = weights[start:end].reshape(rows, -1)
            for direction in found:
                random = draw.standard_normal(own.shape)
                random *= np.linalg.norm(own, axis=1, keepdims=True) / np.linalg.norm(random, axis=1, keepdims=True)
                direction[start:end] = random.ravel()
        start = end
    return found


def orthonormal(directions: Array) -> Array:
    """An orthonormal basis of what directions span: as many rows as it takes."""
    basis: list[Array] = []
    scale = max(float(np.linalg.norm(each)) for each in directions)
    for each in directions:
        left = _without(each, basis)
        if (length := float(np.linalg.norm(left))) > NOTHING * scale:
            basis.append(_without(left / length, basis))
    return np.array(basis).reshape(len(basis), directions.shape[1])


def _completed(directions: Array, seed: int) -> Array:
    """Two orthonormal directions, the first ones of these as far as they go."""
    basis = list(orthonormal(directions))
    draw = np.random.default_rng(seed)
    while len(basis) < min(2, directions.shape[1]):
        left = _without(np.array(draw.standard_normal(directions.shape[1])), basis)
        basis.append(_without(left / np.linalg.norm(left), basis))
    return np.array([*basis, np.zeros(directions.shape[1])][:2])


def _without(direction: Array, basis: Sequence[Array]) -> Array:
    for each in basis:
        direction = direction - (each @ direction) * each
    return direction


def _columns(weights: Array) -> Iterator[slice]:
    for start in range(0, weights.shape[1], COLUMNS):
        yield slice(start, start + COLUMNS)
