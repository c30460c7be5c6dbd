"""The reference engine is judged by two oracles: the papers in float64, and torch.optim."""

import numpy as np
import pytest
import torch
from subjects import ORACLES, SUBJECTS, Subject, gradients, parameters, run, states

from thalweg.catalogue import CATALOGUE

STEPS = 100
SHAPES = [(7, 5), (3,), ()]
# For rules with bases: SOAP's are arbitrary where the first gradient has not full rank along an axis.
FULL_RANK = [(5, 5), (3,), (), (3, 2, 4)]
# Rounding: each step errs by a few units in the last place of the parameter, and the errors of 100 steps add up.
TOLERANCE = 100 * STEPS * torch.finfo(torch.float64).eps


@pytest.fixture(autouse=True)
def _double():
    """torch keeps NAdam's product of momenta in the default dtype: in float32 its rounding would be seen here."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_every_rule_has_an_oracle():
    assert ORACLES.keys() == {name for name, entry in CATALOGUE.items() if entry.takes_all}  # else: test_muon.py


def distance_from_paper(subject: Subject, steps: int = STEPS) -> float:
    """The largest difference of parameter or state over all tensors, relative to their size and what errors may be."""
    shapes = FULL_RANK if subject.entry.rule.matrices else SHAPES
    params, given = parameters(shapes), gradients(shapes, steps)
    starts = [p.detach().numpy().copy() for p in params]
    optimizer = subject.build(params, engine="reference")
    run(optimizer, given)
    worst = 0.0
    for p, paper in zip(params, subject.papers(starts, given, steps), strict=True):
        # The classical Nesterov parameter holds the point at which the next gradient is due.
        expected = paper.lookahead[-1] if paper.lookahead else paper.path[-1]
        worst = max(worst, relative(p.detach().numpy(), expected))
        for name, value in paper.state.items():
            if not paper.lookahead or name in optimizer.state[p]:
                own = optimizer.state[p]["velocity" if subject.entry.name == "classical_momentum" else name]
                worst = max(worst, relative(own.numpy(), together(value)))
    return worst / subject.amplifies


def together(value: object) -> np.ndarray:
    """A state; the matrices of all axes one after the other, as the rules keep them."""
    if isinstance(value, list):
        return np.concatenate([np.zeros(0), *[np.ravel(matrix) for matrix in value]])
    return np.asarray(value)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all() and np.isfinite(theirs).all()
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))).max(initial=0.0))


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_reference_agrees_with_the_paper(subject):
    assert distance_from_paper(subject) < TOLERANCE


@pytest.mark.parametrize("subject", [each for each in SUBJECTS if each.torch_class], ids=str)
def test_reference_agrees_with_torch(subject):
    ours, theirs = parameters(SHAPES), parameters(SHAPES)
    mine, other = subject.build(ours, engine="reference"), subject.build_torch(theirs)
    given = gradients(SHAPES, STEPS)
    run(mine, given)
    run(other, given)
    for p, q, own, torchs in zip(ours, theirs, states(mine), states(other), strict=True):
        assert relative(p.detach().numpy(), q.detach().numpy()) < TOLERANCE
        assert own.keys() == torchs.keys()
        for name in own:
            assert own[name].dtype == torchs[name].dtype
            assert relative(own[name].numpy(), torchs[name].numpy()) < TOLERANCE


@pytest.mark.parametrize("name", ["momentum", "classical_momentum", "nesterov", "classical_nesterov", "adam", "adamw"])
def test_a_schedule_reaches_the_equations_as_the_paper_has_it(name):
    """Where the learning rate stands, inside the velocity or outside, shows only when it changes."""
    entry = CATALOGUE[name]
    rate = lambda t: 0.1 / t  # noqa: E731
    [p] = parameters([(4,)])
    start = p.detach().numpy().copy()
    optimizer = entry.build([p], engine="reference")
    given = gradients([(4,)], 20)
    for t, (g,) in enumerate(given, start=1):
        optimizer.param_groups[0]["lr"] = rate(t)
        p.grad = g
        optimizer.step()
    arguments = {"momentum": 0.9} if "mom" in name or "nest" in name else {}
    paper = ORACLES[name](start, lambda _, t: given[t - 1][0].numpy(), steps=20, lr=rate, **arguments)
    expected = paper.lookahead[-1] if paper.lookahead else paper.path[-1]
    assert relative(p.detach().numpy(), expected) < 1e-13


def test_classical_nesterov_takes_the_gradient_ahead():
    """On a quadratic, where the gradient depends on the point, and theta is parameter + shift."""
    curvature = torch.tensor([1.0, 10.0])
    p = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    start = p.detach().numpy().copy()
    optimizer = CATALOGUE["classical_nesterov"].build([p], lr=0.02, engine="reference")
    for _ in range(50):
        p.grad = curvature * p.detach()
        optimizer.step()
    paper = ORACLES["classical_nesterov"](
        start, lambda theta, t: curvature.numpy() * theta, steps=50, lr=0.02, momentum=0.9
    )
    theta = p.detach() + optimizer.state[p]["shift"]
    assert np.allclose(theta.numpy(), paper.path[-1], rtol=1e-13, atol=1e-13)


def test_gradient_scale_multiplies_the_gradient():
    a, b = parameters([(5,)]), parameters([(5,)])
    given = gradients([(5,)], 10)
    run(CATALOGUE["sgd"].build(a, gradient_scale=0.25, weight_decay=0.1, engine="reference"), given)
    run(CATALOGUE["sgd"].build(b, weight_decay=0.1, engine="reference"), [[0.25 * g[0]] for g in given])
    assert torch.allclose(a[0], b[0], rtol=1e-14, atol=0)
