"""Caution: beside the paper for three rules, and for every rule what it promises."""

import numpy as np
import papers_matrix
import pytest
import torch
from subjects import PLAIN, gradients, parameters, run

import thalweg.optim as optim
from thalweg.engines import cpu

STEPS = 100
SHAPES = [(7, 5), (3,), (), (0, 4)]
TOLERANCE = 100 * STEPS * torch.finfo(torch.float64).eps  # as in test_oracle.py

CASES = [
    (optim.Adam, papers_matrix.cautious_adam, {}),
    (optim.Adam, papers_matrix.cautious_adam, {"weight_decay": 0.1, "maximize": True, "betas": (0.8, 0.95)}),
    (optim.AdamW, papers_matrix.cautious_adam, {"weight_decay": 0.3}),
    (optim.Lion, papers_matrix.cautious_lion, {"lr": 0.01, "weight_decay": 0.3}),
    (optim.SGD, papers_matrix.cautious_momentum, {"lr": 0.01, "momentum": 0.9, "dampening": 0.2}),
]


@pytest.mark.parametrize(("cls", "oracle", "settings"), CASES, ids=lambda each: getattr(each, "__name__", None))
def test_as_in_the_paper(cls, oracle, settings):
    params, given = parameters(SHAPES), gradients(SHAPES, STEPS)
    starts = [p.detach().numpy().copy() for p in params]
    optimizer = cls(params, cautious=True, **settings)
    run(optimizer, given)
    decoupled = optimizer.defaults["decoupled_weight_decay"]
    settings = {"lr": optimizer.defaults["lr"], **settings}
    for index, (p, start) in enumerate(zip(params, starts, strict=True)):
        gradient = lambda _, t, index=index: given[t - 1][index].numpy()  # noqa: E731
        paper = oracle(start, gradient, steps=STEPS, decoupled=decoupled, **settings)
        assert np.allclose(p.detach().numpy(), paper.path[-1], rtol=TOLERANCE, atol=TOLERANCE)
        for name, value in paper.state.items():
            own = optimizer.state[p][name].numpy()
            assert np.allclose(own, value, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_no_rule_moves_against_the_gradient(subject, dtype):
    """Nor along with none; and what is left is larger, by the number of elements over those that agree."""
    [p], shape = parameters([(40, 40)], dtype), (40, 40)
    without = torch.nn.Parameter(p.detach().clone())
    settings = {"rounding": "nearest", "weight_decay": 0.0, "engine": "reference"}
    plain, careful = subject.build([without], **settings), subject.build([p], **settings, cautious=True)
    given = gradients([shape], 12, dtype)
    moved = 0
    for index, (g,) in enumerate(given):
        g[0] = 0.0
        before = p.detach().clone()
        run(careful, [[g]])
        assert not (((before - p) * g).sign() < 0).any() and torch.equal(p[0], before[0])
        moved += int((p != before).sum())
        if index == 0 and dtype == torch.float32:
            run(plain, [[g]])
            agrees = ((before - without) * g).sign() > 0
            scale = 1600 / max(agrees.sum().item(), 1)
            due = torch.where(agrees, scale * (before - without), 0.0)
            spacing = torch.finfo(dtype).eps * torch.maximum(before.abs(), p.abs())
            assert (((before - p) - due).abs() <= (scale + 2) * spacing).all()
    assert moved > 0


def test_nothing_is_done_where_nothing_agrees():
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9, cautious=True)
    run(optimizer, [[torch.ones(4)]])
    before = p.detach().clone()
    run(optimizer, [[-0.1 * torch.ones(4)]])
    assert torch.equal(p, before)
    assert torch.equal(optimizer.state[p]["momentum_buffer"], torch.full((4,), 0.9) - 0.1)  # the rule goes on


def test_a_product_too_small_for_its_dtype_is_no_disagreement():
    p = torch.nn.Parameter(torch.zeros(1))
    run(optim.SGD([p], lr=1.0, cautious=True), [[torch.full((1,), 1e-30)]])
    assert p.item() == pytest.approx(-1e-30)


@pytest.mark.parametrize("size", [1, 6, 5000])
def test_where_all_agrees_the_step_keeps_its_length(size):
    one, other = torch.nn.Parameter(torch.zeros(size)), torch.nn.Parameter(torch.zeros(size))
    run(optim.Adam([one], lr=0.1, cautious=True), [[torch.ones(size)]])
    run(optim.Adam([other], lr=0.1), [[torch.ones(size)]])
    assert torch.equal(one, other)


def test_where_almost_nothing_agrees_the_step_is_a_thousand_times_as_long_at_most():
    p = torch.nn.Parameter(torch.zeros(5000))
    optimizer = optim.SGD([p], lr=1.0, momentum=0.9, cautious=True)
    run(optimizer, [[torch.ones(5000)]])
    before, g = p.detach().clone(), torch.full((5000,), -0.1)
    g[0] = 0.1
    run(optimizer, [[g]])
    assert torch.equal(p[1:], before[1:]) and (before - p)[0].item() == pytest.approx(1000.0, rel=1e-6)


def test_a_nan_shows():
    [p] = parameters([(3,)])
    run(optim.Adam([p], cautious=True), [[torch.tensor([1.0, float("nan"), 1.0]).double()]])
    assert p.isnan().tolist() == [False, True, False]


@pytest.mark.apart
@pytest.mark.parametrize(
    ("cls", "dtype", "settings"),
    [
        (optim.AdamW, torch.float32, {"weight_decay": 0.3, "maximize": True}),
        (optim.Lion, torch.bfloat16, {"lr": 0.01}),
        (optim.Adam, torch.float32, {"state_dtype": "int8"}),
        (optim.LAMB, torch.float64, {}),
    ],
    ids=["transforms", "16 bits", "small state", "measured"],
)
def test_kernels_come_to_what_the_reference_does(cls, dtype, settings, monkeypatch):
    """On one thread and on two, over tensors of several chunks."""
    monkeypatch.setattr(cpu, "ONE_THREAD", 4096)
    shapes = [*SHAPES, (5000,), (90, 50)]
    start, given = parameters(shapes, dtype), gradients(shapes, 4, dtype)
    made = {}
    before = torch.get_num_threads()
    for engine, threads in (("reference", 1), ("cpu", 1), ("auto", 2)):
        params = made[engine] = [torch.nn.Parameter(p.detach().clone()) for p in start]
        optimizer = cls(params, cautious=True, engine=engine, **settings)
        torch.set_num_threads(threads)
        try:
            run(optimizer, given)
        finally:
            torch.set_num_threads(before)
    for reference, one, two in zip(*made.values(), strict=True):
        tolerance = 1e-5 if "state_dtype" in settings else 100 * torch.finfo(dtype).eps  # of codes: of noise
        torch.testing.assert_close(one, reference, rtol=tolerance, atol=tolerance)
        assert torch.equal(one, two)


def test_of_a_rule_whose_equations_see_no_gradient_the_reference_engine_counts_or_nobody():
    [p] = params = parameters([(4, 4)], torch.float32)
    given = gradients([(4, 4)], 3, torch.float32)
    other = torch.nn.Parameter(p.detach().clone())
    run(optim.SOAP(params, cautious=True), given)
    run(optim.SOAP([other], cautious=True, engine="reference"), given)
    assert torch.equal(p, other)
    with pytest.raises(ValueError, match="engine='cpu' with cautious=True: kernels see the direction"):
        run(optim.SOAP(params, cautious=True, engine="cpu"), given)


def test_one_group_may_be_cautious_and_another_not():
    shapes, given = [(6,), (6,)], gradients([(6,), (6,)], 5)
    a, b = parameters(shapes)
    x, y = parameters(shapes)
    run(optim.Adam([{"params": [a], "cautious": True}, {"params": [b]}]), given)
    run(optim.Adam([x], cautious=True), [[g] for g, _ in given])
    run(optim.Adam([y]), [[g] for _, g in given])
    assert torch.equal(a, x) and torch.equal(b, y) and not torch.equal(a, b)


def test_what_shows_only_a_part_of_a_tensor_is_refused():
    p = torch.nn.Parameter(torch.ones(4, 2))
    p.grad = torch.ones(4, 2).to_sparse(1)
    with pytest.raises(RuntimeError, match="cautious=True counts over whole tensors, which a sparse gradient"):
        optim.SGD([p], cautious=True).step()
    assert torch.equal(p, torch.ones(4, 2))


def test_autograd_follows():
    def steps(start, g):
        p = start.clone()
        optimizer = optim.Adam([p], lr=0.1, cautious=True, differentiable=True)
        for factor in (1.0, -0.3, 2.0):
            p.grad = factor * g
            optimizer.step()
        return p

    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(steps, given)
