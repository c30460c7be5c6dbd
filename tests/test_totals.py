"""What per_tensor adds up, a kernel adds up to what torch's operations give; what a kernel cannot is left to torch."""

from dataclasses import replace

import pytest
import torch
from subjects import parameters

import thalweg
from thalweg.engines.cpu import totals
from thalweg.plan.plan import Plan
from thalweg.rules.lamb import lamb
from thalweg.rules.lars import lars, norm
from thalweg.rules.prodigy import prodigy
from thalweg.update.update import Update

RULES = {rule.name: rule for rule in (lamb, lars, prodigy)}
SHAPES = [(37, 5), (5,), (1,), (300, 700), (0, 3)]
KINDS = {
    "float32": (torch.float32, {}),
    "decayed": (torch.float32, {"weight_decay": 0.1, "maximize": True, "gradient_scale": 0.5}),
    "float64": (torch.float64, {}),
    "complex64": (torch.complex64, {}),
    "kahan": (torch.bfloat16, {"rounding": "kahan"}),
    "stochastic": (torch.bfloat16, {}),
    "int8": (torch.float32, {"state_dtype": "int8"}),
    "cautious": (torch.float32, {"cautious": True}),
}


def ways_of(rule, shapes=SHAPES, dtype=torch.float32, steps=4, engine="cpu", **settings):
    """Where the parameters of an optimizer come to."""
    params = parameters(shapes, dtype)
    optimizer = thalweg.optimizer(rule)(params, engine=engine, **settings)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=dtype)
        optimizer.step()
    return [p.detach().clone() for p in params]


@pytest.fixture
def no_torch(monkeypatch):
    """torch's operations on whole tensors are not to be used."""

    def refuse(plan):
        raise AssertionError("left to torch")

    monkeypatch.setattr(Plan, "measure", refuse)


@pytest.mark.apart
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RULES)
def test_a_kernel_adds_up_what_torch_does(name, kind, monkeypatch):
    dtype, settings = KINDS[kind]
    with monkeypatch.context() as patch:
        patch.setattr(Plan, "measure", None)  # not called
        here = ways_of(RULES[name], dtype=dtype, **settings)
    monkeypatch.setattr(totals, "totals_of", lambda update: None)
    for ours, torchs in zip(here, ways_of(RULES[name], dtype=dtype, **settings), strict=True):
        assert ours.isfinite().all()
        # A rounding of the trust ratio may be one of the stored number too.
        room = {torch.bfloat16: 2**-8, torch.float64: 1e-12}.get(dtype, 2e-3 if kind == "int8" else 1e-5)
        most = torchs.abs().max().item() if torchs.numel() else 0.0
        torch.testing.assert_close(ours, torchs, rtol=room, atol=room * most)


def test_groups_have_numbers_of_their_own(no_torch):
    params = parameters([(3, 4), (4,)], torch.float32)
    optimizer = thalweg.optimizer(lamb)(
        [{"params": params[:1], "weight_decay": 0.5}, {"params": params[1:], "betas": (0.5, 0.5)}], engine="cpu"
    )
    apart = [ways_of(lamb, [(3, 4), (4,)], steps=1, **own) for own in ({"weight_decay": 0.5}, {"betas": (0.5, 0.5)})]
    generator = torch.Generator().manual_seed(1)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)
    optimizer.step()
    torch.testing.assert_close(params[0].detach(), apart[0][0])
    torch.testing.assert_close(params[1].detach(), apart[1][1])


def asks(p, g, state, *, decay, trust_coefficient, eps):
    return {"trust": trust_coefficient * norm(p) if torch.sum(g) > 0 else 1e-3 * norm(g)}


def writes(p, g, state, *, decay, trust_coefficient, eps):
    state["b"].mul_(0.5)
    return {"trust": trust_coefficient * norm(p) / norm(g)}


def needs_a_sum_for_an_element(p, g, state, *, decay, trust_coefficient, eps):
    return {"trust": trust_coefficient * torch.sum(torch.abs(g / norm(g)))}


def asks_for_the_shape(p, g, state, *, decay, trust_coefficient, eps):
    return {"trust": trust_coefficient * norm(p) / p.numel() ** 0.5}


def adds_up_along_an_axis(p, g, state, *, decay, trust_coefficient, eps):
    return {"trust": trust_coefficient * torch.sum(torch.sum(g, dim=0))}


LEFT = [asks, writes, needs_a_sum_for_an_element, asks_for_the_shape, adds_up_along_an_axis]


@pytest.mark.parametrize("function", LEFT, ids=lambda function: function.__name__)
def test_what_a_kernel_cannot_is_left_to_torch(function):
    rule = replace(lars, name="lars_that_" + function.__name__, per_tensor=function)
    assert totals.totals_of(Update(rule, ())) is None
    for ours, reference in zip(ways_of(rule), ways_of(rule, engine="reference"), strict=True):
        torch.testing.assert_close(ours, reference, equal_nan=True)


@pytest.mark.apart
def test_every_word_can_be_added_up(no_torch):
    def per_tensor(p, g, state, *, decay, trust_coefficient, eps):
        small = torch.where((g < 0.5) & (g > -0.5) | (p == 0), torch.abs(g), torch.sign(g))
        bent = torch.tanh(torch.exp(-torch.square(p)) + torch.log(1 + torch.abs(g)))
        ends = torch.maximum(small, bent.clamp(max=0.3)) - torch.minimum(p, 1 / (2 + torch.abs(g)))
        return {"trust": trust_coefficient * torch.sum(ends) / (norm(p) + norm(g) ** 2)}

    rule = replace(lars, name="lars_of_words", per_tensor=per_tensor)
    [p] = ways_of(rule, [(300,)], steps=1)
    [start] = parameters([(300,)], torch.float32)
    g = torch.randn(300, generator=torch.Generator().manual_seed(1))
    q = per_tensor(start.detach(), g, {}, decay=0.0, trust_coefficient=1e-3, eps=0.0)["trust"]
    torch.testing.assert_close(p, start.detach() - q * g, rtol=1e-5, atol=1e-7)


def test_double_precision_beyond_its_squares_is_left_to_torch():
    [p] = parameters([(50,)], torch.float64)
    with torch.no_grad():
        p *= 1e200
    p.grad = torch.ones_like(p)
    before = p.detach().clone()
    thalweg.optimizer(lars)([p], engine="cpu").step()
    moved = torch.linalg.vector_norm((before - p.detach()) / 1e197)
    assert moved.item() == pytest.approx(torch.linalg.vector_norm(before / 1e200).item(), rel=1e-6)


@pytest.mark.parametrize("threads", [2, 3])
def test_shares_are_of_the_same_pieces_and_leave_none_out(threads):
    [plan] = [plan for _, plan in _plans([(300_000,), (5,), (70_000,), (0,)])]
    alone, _ = totals.shares(plan, 1)
    chunks, bounds = totals.shares(plan, threads)
    assert (chunks == alone).all() and bounds[0] == 0 and bounds[-1] == len(chunks) and len(bounds) == threads + 1
    assert (bounds[1:] >= bounds[:-1]).all() and chunks[:, 2].max() <= totals.PIECE
    assert chunks[:, 2].sum() == 370_005


def _plans(shapes):
    params = parameters(shapes, torch.float32)
    optimizer = thalweg.optimizer(lamb)(params, engine="cpu")
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    return optimizer._stepper._plans
