"""Slices of a loss through runs: planes, shares, and what they say of surfaces that are known in closed form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from thalweg.play.landscape import Landscape, Run, landscape
from thalweg.play.planes import Plane, filtered, orthonormal, principal

CURVATURES = np.logspace(0, 1, 12)


def height(weights: np.ndarray) -> float:
    return float((CURVATURES * np.square(weights)).sum() / 2)


def descent(lr: float, steps: int = 30, seed: int = 7) -> Run:
    place = np.random.default_rng(seed).standard_normal(len(CURVATURES))
    found = [place]
    for _ in range(steps):
        place = place - lr * CURVATURES * place
        found.append(place)
    return Run(f"lr {lr}", np.arange(steps + 1), np.array(found))


def test_on_a_quadratic_the_slice_is_the_analytic_surface():
    runs = [descent(0.05), descent(0.1)]
    made = landscape(runs, height, size=7)
    assert [(each.kind, each.stage) for each in made.slices] == [
        *(("pca", transform) for transform in ("whole", "first", "middle", "last")),
        ("filter", "last"),
    ]
    whole = made.slices[0]
    plane = Plane(runs[0].weights[-1], principal([run.weights for run in runs], runs[0].weights[-1]))
    inner = (plane.directions * CURVATURES) @ plane.directions.T  # the surface's own matrix in the plane
    slope = plane.directions @ (CURVATURES * plane.origin)
    for row, y in enumerate(whole.y):
        for column, x in enumerate(whole.x):
            at = np.array([x, y])
            analytic = height(plane.origin) + slope @ at + at @ inner @ at / 2
            assert whole.values[row, column] == pytest.approx(analytic, rel=1e-5)
    for each in made.slices:
        for run in each.runs:
            assert ((run.share >= 0) & (run.share <= 1)).all() and 0 <= run.total <= 1
    assert whole.runs[0].total > 0.9 > made.slices[-1].runs[0].total  # random directions hold almost nothing of a run
    for run, given in zip(whole.runs, runs, strict=True):
        assert run.loss == pytest.approx([height(each) for each in given.weights])


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_path_of_two_numbers_lies_wholly_in_the_plane(kind):
    draw = np.random.default_rng(3)
    weights = np.cumsum(draw.standard_normal((20, 2)), 0).astype(kind)
    straight = np.linspace([1.0, 2.0], [3.0, -1.0], 9).astype(kind)  # differs in one direction alone
    runs = [Run("walk", np.arange(20), weights), Run("line", np.arange(9), straight)]
    for chosen in (runs, runs[1:]):
        made = landscape(chosen, lambda w: float(w[0] ** 2 + 3 * w[1] ** 2), [(2,)], size=5)
        for each in made.slices:
            for run in each.runs:
                assert run.total == pytest.approx(1, abs=1e-12) and run.share == pytest.approx(1, abs=1e-12)
                assert run.slice_loss == pytest.approx(run.loss, abs=1e-9)


def test_of_one_number_there_is_a_line():
    made = landscape([Run("one", np.arange(4), np.array([[4.0], [2.0], [1.0], [0.5]]))], lambda w: float(w[0] ** 4))
    assert made.slices[0].runs[0].total == 1
    assert (made.slices[0].values == made.slices[0].values[0]).all()  # nothing changes along the second side


def test_the_share_is_that_of_the_length():
    weights = np.zeros((3, 3))
    weights[1], weights[2] = (3.0, 0.0, 4.0), (3.0, 0.0, 9.0)
    plane = Plane(np.zeros(3), np.eye(3)[:2])
    share, total = plane.share(weights)
    assert share == pytest.approx([1, 0.6, 0]) and total == pytest.approx(3 / 10)
    skewed = Plane(np.zeros(3), np.array([[2.0, 0, 0], [2.0, 1.0, 0]]))  # the same plane, spanned otherwise
    assert skewed.share(weights)[0] == pytest.approx([1, 0.6, 0])
    assert [skewed.at(*at)[:2] for at in skewed.coordinates(weights)] == pytest.approx(weights[:, :2])


def test_principal_directions_are_those_of_the_singular_value_decomposition():
    draw = np.random.default_rng(0)
    parts = [draw.standard_normal((9, 70_000)) * 0.1 for _ in range(2)]  # more weights than are taken at a time
    for part in parts:
        part[:, 5] += np.arange(9)
        part[:, 69_000] += np.arange(9) % 3
    origin = parts[0][-1]
    found = principal(parts, origin)
    _, _, exact = np.linalg.svd(np.concatenate(parts) - origin, full_matrices=False)
    assert np.abs(np.sum(found * exact[:2], 1)) == pytest.approx(1, abs=1e-9)
    assert found @ found.T == pytest.approx(np.eye(2), abs=1e-12)


def test_filters_of_random_directions_are_as_long_as_the_weights():
    shapes = [(3, 2, 2), (4,), (2, 5)]
    weights = np.random.default_rng(1).standard_normal(12 + 4 + 10)
    for direction in filtered(shapes, weights):
        kernels = np.linalg.norm(direction[:12].reshape(3, 4), axis=1)
        assert kernels == pytest.approx(np.linalg.norm(weights[:12].reshape(3, 4), axis=1))
        assert np.linalg.norm(direction[16:].reshape(2, 5), axis=1) == pytest.approx(
            np.linalg.norm(weights[16:].reshape(2, 5), axis=1)
        )
        assert (direction[12:16] == 0).all()
    assert len(orthonormal(filtered(shapes, weights))) == 2
    alone = filtered([(4,)], weights[:4])
    assert np.linalg.norm(alone, axis=1) == pytest.approx(np.linalg.norm(weights[:4]))


@pytest.mark.apart
def test_it_comes_back_from_its_block_and_infinite_losses_with_it():
    def wall(weights: np.ndarray) -> float:
        return float("inf") if weights[0] > 1 else height(weights)

    made = landscape([descent(0.1)], wall, size=5, title="a wall")
    text = json.dumps(made.block(), allow_nan=False)
    again = Landscape.of(json.loads(text))
    assert again.block() == made.block() and again.title == "a wall"
    assert np.isfinite(again.slices[0].values).tolist() == np.isfinite(made.slices[0].values).tolist()
    assert again.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "runs, size, said",
    [
        ([], 5, "models of"),
        ([descent(0.1), Run("other", np.arange(2), np.zeros((2, 3)))], 5, r"models of \[3, 12\] weights"),
        ([Run("short", np.arange(1), np.zeros((1, 3)))], 5, "fewer than 2 checkpoints"),
        ([descent(0.1)], 1, "size: got 1"),
    ],
)
def test_what_it_refuses(runs, size, said):
    with pytest.raises(ValueError, match=said):
        landscape(runs, height, size=size)
