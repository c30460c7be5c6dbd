"""What every path of the oracle must obey, whatever its rule: what no public library can be asked about all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import papers
import papers_matrix as matrix
import papers_modern as modern
import pytest
from peers import CURVATURES, ROWS, STARTS, gradient, gradients

STEPS = 20
# As in test_oracle.py.
TOLERANCE = 100 * STEPS * np.finfo(np.float64).eps
NEEDED: dict[Any, dict[str, Any]] = {
    modern.sparse_adam: {"touched": lambda t: ROWS[t - 1]},
    modern.adahessian: {"hessian": lambda theta, t: CURVATURES[0]},
    modern.schedule_free_adamw: {"warmup_steps": 3},
    modern.asgd: {"lambd": 0.0},
    matrix.prodigy: {"d0": 1e-2},
}
RULES = [*papers.oracles(modern).values(), *papers.oracles(matrix).values()]
START = STARTS[0]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


def path(rule: Any, start: np.ndarray, given: Callable[..., np.ndarray], **settings: Any) -> np.ndarray:
    """All steps in one array. Prodigy gets its list of one."""
    settings = {"steps": STEPS, "lr": 0.03, "weight_decay": 0.0, **NEEDED.get(rule, {}), **settings}
    if rule is modern.sparse_adam:
        del settings["weight_decay"]
    if rule is matrix.prodigy:
        run = rule([start], lambda points, t: [given(points[0], t)], **settings)
        return np.array([points[0] for points in run.path])
    return np.array(rule(start, given, **settings).path)


@each_rule
def test_to_maximize_is_to_descend_on_the_negative(rule):
    climbing = path(rule, START, lambda x, t: -gradient(x, t), maximize=True)
    assert (climbing == path(rule, START, gradient)).all()
    assert np.abs(climbing - path(rule, START, gradient, maximize=True)).max() > 1e-3


@each_rule
def test_a_longer_run_begins_as_a_shorter_one(rule):
    assert (path(rule, START, gradient)[:7] == path(rule, START, gradient, steps=7)).all()


@each_rule
def test_without_gradient_or_decay_nothing_moves(rule):
    """And no norm, mask or basis of nothing turns into NaN."""
    assert (path(rule, START, lambda x, t: np.zeros_like(x)) == START).all()


# LAMB, LARS and Adan have decays of their own, SparseAdam has none.
COUPLED = [rule for rule in RULES if rule not in (matrix.lamb, matrix.lars, modern.adan, modern.sparse_adam)]


@pytest.mark.parametrize("rule", COUPLED, ids=lambda rule: rule.__name__)
def test_coupled_decay_is_part_of_the_gradient(rule):
    within = path(rule, START, gradient, weight_decay=0.3, decoupled=False)
    by_hand = path(rule, START, lambda x, t: gradient(x, t) + 0.3 * x)
    assert np.abs(within - by_hand).max() < TOLERANCE
    assert np.abs(within - path(rule, START, gradient)).max() > 1e-3


# Of the others the first step decays after it, or at the point of the gradient, or not at all.
LATER = (
    *(modern.adopt, matrix.soap, modern.schedule_free_sgd, modern.schedule_free_adamw, modern.schedule_free_radam),
    matrix.adafactor,
)
DECOUPLED = [rule for rule in RULES if rule not in (*LATER, matrix.prodigy, modern.sparse_adam)]


@pytest.mark.parametrize("rule", DECOUPLED, ids=lambda rule: rule.__name__)
def test_decoupled_decay_comes_before_the_step(rule):
    own = {"no_prox": True} if rule is modern.adan else {}
    slope = gradient(START, 1)
    apart = path(rule, START, lambda x, t: slope, steps=1, weight_decay=0.3, decoupled=True, **own)
    by_hand = path(rule, (1 - 0.03 * 0.3) * START, lambda x, t: slope, steps=1)
    assert np.abs(apart - by_hand).max() < TOLERANCE


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)], ids=str)
@each_rule
def test_tensors_of_every_order(rule, shape):
    if rule is modern.sparse_adam and len(shape) != 1:
        pytest.skip("rows, of which a number has none")
    settings = {"touched": lambda t: [0, 2]} if rule is modern.sparse_adam else {}
    if rule is modern.adahessian:
        settings = {"hessian": lambda theta, t: np.ones(shape)}
    walk = path(rule, np.ones(shape), lambda x, t: x + 0.1, steps=8, **settings)
    assert walk.shape == (8, *shape) and np.isfinite(walk).all() and np.abs(walk[-1] - 1.0).max() > 1e-6


@pytest.mark.parametrize("eps_before", [False, True])
def test_prodigys_eps_is_scaled_by_the_distance_found_or_the_one_before(eps_before):
    """Two steps by hand, along a constant gradient of 1: the second finds a larger d."""
    d0, d_coef, eps, (beta1, beta2) = 0.01, 100.0, 0.5, (0.9, 0.99)
    settings = {"d0": d0, "d_coef": d_coef, "eps": eps, "betas": (beta1, beta2), "eps_before": eps_before}
    run = matrix.prodigy([np.ones(1)], lambda _, t: [np.ones(1)], steps=2, **settings)
    m, v = (1 - beta1) * d0, (1 - beta2) * d0**2
    first = d0 * m / (v**0.5 + d0 * eps)
    assert run.path[0][0][0] == pytest.approx(1 - first, rel=1e-14)
    m, v = beta1 * m + (1 - beta1) * d0, beta2 * v + (1 - beta2) * d0**2
    found = d_coef * d0 * first / (beta2**0.5 * d0 + d0)
    assert found > d0
    second = d0 * m / (v**0.5 + (d0 if eps_before else found) * eps)
    assert run.path[1][0][0] == pytest.approx(1 - first - second, rel=1e-14)
    assert run.state["d"] == pytest.approx(found, rel=1e-13)


def test_prodigy_has_one_distance_for_all_tensors():
    together = matrix.prodigy(STARTS, gradients, steps=STEPS, d0=1e-2)
    alone = matrix.prodigy(STARTS[:1], gradients, steps=STEPS, d0=1e-2)
    assert together.state["d"] != alone.state["d"]
    flat = np.concatenate([start.ravel() for start in STARTS])

    def joined(points, t):
        return [np.concatenate([g.ravel() for g in gradients([points[0][:25].reshape(5, 5), points[0][25:]], t)])]

    assert (matrix.prodigy([flat], joined, steps=STEPS, d0=1e-2).path[-1][0][25:] == together.path[-1][1]).all()


def test_shampoo_keeps_its_roots_between_refreshes():
    seldom = path(matrix.shampoo, START, gradient, update_frequency=3)
    always = path(matrix.shampoo, START, gradient)
    assert (seldom[0] == always[0]).all() and not (seldom[1] == always[1]).any()
    run = matrix.shampoo(START, gradient, steps=4, lr=0.03, update_frequency=3)
    again = matrix.shampoo(START, gradient, steps=6, lr=0.03, update_frequency=3)
    assert (run.state["roots"][0] == again.state["roots"][0]).all(), "those of step 4 serve to step 6"
    assert np.allclose(np.linalg.matrix_power(run.state["roots"][0], 4) @ run.state["preconditioners"][0], np.eye(5))


def test_schedule_free_points_belong_together():
    """y is between x and z by beta, and with equal weights x is the mean of all z."""
    run = modern.schedule_free_sgd(START, gradient, steps=STEPS, lr=0.03, momentum=0.8)
    for t, (x, y, z) in enumerate(zip(run.path, run.lookahead, run.base, strict=True), start=1):
        assert np.abs(0.2 * z + 0.8 * x - y).max() < TOLERANCE
        assert np.abs(np.mean(run.base[:t], axis=0) - x).max() < TOLERANCE
