"""Rules that measure whole tensors: norms that are 0, complex parameters, tensors that lie in memory in other ways."""

import copy

import numpy as np
import papers_matrix
import pytest
import torch
from subjects import ORACLES, gradients, parameters, run

import thalweg.optim as optim

TRUSTING = ["lamb", "lars"]
CLASS = {"lamb": optim.LAMB, "lars": optim.LARS}
SETTINGS = {"lr": 0.1, "weight_decay": 0.1}


@pytest.mark.parametrize("name", TRUSTING)
@pytest.mark.parametrize(("size", "length"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_where_a_norm_is_0_the_ratio_is_1(name, size, length):
    """A bias that starts at 0 must be able to leave it."""
    p, g = torch.nn.Parameter(size * torch.ones(5, dtype=torch.float64)), length * torch.linspace(1, 2, 5).double()
    start = p.detach().numpy().copy()
    run(CLASS[name]([p], **SETTINGS), [[g]] * 3)
    momentum = {"momentum": 0.9} if name == "lars" else {}
    paper = ORACLES[name](start, lambda theta, t: g.numpy(), steps=3, **SETTINGS, **momentum)
    assert np.allclose(p.detach().numpy(), paper.path[-1], rtol=1e-14, atol=0)
    assert (p != size).any() == (size or length)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("name", TRUSTING)
@pytest.mark.parametrize(("size", "length"), [(1.0, 1e18), (1.0, 1e-20), (1e20, 1.0), (1e-20, 1e10)])
def test_norms_beyond_a_float32s_squares_are_norms(name, size, length, engine):
    """A gradient whose squares are infinite had an infinite norm, and moved nothing; where they were zero, nearly so.
    A tenth of the parameter's length is what these settings move."""
    p = torch.nn.Parameter(torch.full((10000,), size))
    rate = {"lamb": {"lr": 0.1, "eps": 0.0}, "lars": {"lr": 0.1, "trust_coefficient": 1.0}}[name]
    run(CLASS[name]([p], engine=engine, **rate), [[torch.full((10000,), length)]])
    assert torch.allclose(p, torch.full((10000,), 0.9 * size), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", TRUSTING)
def test_a_complex_tensor_is_measured_as_its_parts(name):
    values = torch.randn(6, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    whole, parts = torch.nn.Parameter(values.clone()), torch.nn.Parameter(torch.view_as_real(values).clone())
    steps = [[(values * (1 + step)).conj()] for step in range(4)]
    run(CLASS[name]([whole], **SETTINGS), steps)
    run(CLASS[name]([parts], **SETTINGS), [[torch.view_as_real(g.resolve_conj())] for (g,) in steps])
    assert torch.equal(torch.view_as_real(whole), parts)


@pytest.mark.parametrize("name", TRUSTING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_memory_order_and_gaps_change_nothing_but_rounding(name, dtype):
    base = torch.randn(8, 10, generator=torch.Generator().manual_seed(0)).to(dtype)
    plain, turned, sliced = (torch.nn.Parameter(each) for each in (
        base[:, :6].clone(), base[:, :6].t().contiguous().t(), base.clone()[:, :6],
    ))  # fmt: skip
    given = gradients([(8, 6)], 5, dtype)
    for p in (plain, turned, sliced):
        run(CLASS[name]([p], rounding="nearest", **SETTINGS), given)
    # Norms are summed in another order, and may differ by a rounding: of float32, and in bfloat16 of the parameter.
    error = 5 * 48 * torch.finfo(torch.float32).eps if dtype == torch.float32 else torch.finfo(dtype).eps
    assert torch.allclose(turned, plain, rtol=error, atol=error) and torch.allclose(
        sliced, plain, rtol=error, atol=error
    )


@pytest.mark.parametrize("name", TRUSTING)
def test_a_nan_in_one_element_is_a_nan_in_all(name):
    """Their norm is one: no element has a step that is worth anything."""
    [p] = parameters([(5,)])
    g = torch.ones(5, dtype=torch.float64)
    g[2] = float("nan")
    run(CLASS[name]([p]), [[g]])
    assert p.isnan().all()


# -- one number over all tensors: Prodigy's d --------------------------------------------------------------------------

D = {"d0": 1e-2, "eps": 1e-3, "weight_decay": 0.3}
PATH = {"d0": 1e-2, "eps": 1e-3, "weight_decay": 0.3, "eps_before": True, "use_bias_correction": True}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # d is kept in float32 between steps


def d_of(optimizer):
    return [state["ratio"].item() for state in optimizer.state.values()]


def followed(given):
    """The parameters after these steps beside the oracle's; None for no gradient."""
    shapes = [g.shape for g in given[0]]
    params = parameters(shapes)
    starts = [p.detach().numpy().copy() for p in params]
    optimizer = optim.Prodigy(params, use_bias_correction=True, **D)
    run(optimizer, given)
    paper = papers_matrix.prodigy(starts, lambda _, t: [g.numpy() for g in given[t - 1]], steps=len(given), **PATH)
    return params, optimizer, paper


def test_steps_before_any_gradient_do_not_count():
    """Zero gradients to start with: nothing moves, nothing decays, and no step is counted for the bias correction."""
    given = [[torch.zeros_like(g) for g in step] for step in gradients([(4,), (3,)], 3)] + gradients([(4,), (3,)], 20)
    params, optimizer, paper = followed(given)
    for p, expected in zip(params, paper.path[-1], strict=True):
        assert np.allclose(p.detach().numpy(), expected, **CLOSE)
    assert d_of(optimizer)[0] > 1.0
    still = parameters([(4,)])[0]
    before = still.detach().clone()
    run(optim.Prodigy([still], **D), [[torch.zeros(4, dtype=torch.float64)]] * 3)
    assert torch.equal(still, before)


def test_groups_plans_and_engines_share_one_distance():
    """Two groups, two dtypes: as one group of one."""
    shapes, steps = [(6, 5), (7,), (3,)], 25
    given = gradients(shapes, steps)
    together = parameters(shapes)
    one = optim.Prodigy(together, **D)
    run(one, given)
    apart = parameters(shapes)
    apart[1] = torch.nn.Parameter(apart[1].detach().float())
    two = optim.Prodigy([{"params": apart[:2]}, {"params": apart[2:]}], **D)
    run(two, [[g.to(p.dtype) for g, p in zip(step, apart, strict=True)] for step in given])
    assert len({*d_of(one)}) == len({*d_of(two)}) == 1 and d_of(one)[0] > 1.5
    for p, q in zip(together, apart, strict=True):
        assert torch.allclose(p, q.double(), **CLOSE)


def test_a_parameter_that_sits_out_knows_the_distance_when_it_is_back():
    """In turns: first only a, then only b, then a again; d never falls back to what a knew."""
    a, b = parameters([(5,), (5,)])
    optimizer = optim.Prodigy([a, b], **D)
    grown = [1.0]
    for turn in range(12):
        a.grad, b.grad = (torch.ones(5).double(), None) if turn % 3 != 1 else (None, torch.ones(5).double())
        optimizer.step()
        now = d_of(optimizer)
        assert len({*now}) == 1 and now[0] >= grown[-1]
        grown.append(now[0])
    assert grown[-1] > 1.5


def test_the_distance_is_saved():
    given = gradients([(6, 5), (7,)], 20)
    steady = parameters([(6, 5), (7,)])
    run(optim.Prodigy(steady, **D), given)
    begun = parameters([(6, 5), (7,)])
    first = optim.Prodigy(begun, **D)
    run(first, given[:9])
    again = optim.Prodigy(begun, **D)
    again.load_state_dict(copy.deepcopy(first.state_dict()))
    run(again, given[9:])
    assert all(torch.equal(p, q) for p, q in zip(begun, steady, strict=True))


def test_a_nan_in_one_tensor_is_a_nan_in_all():
    """They share one d: none of them has a step that is worth anything."""
    params = parameters([(3,), (4,)])
    optimizer = optim.Prodigy(params, **D)
    given = gradients([(3,), (4,)], 6)
    given[3][0][1] = float("nan")
    run(optimizer, given)
    assert all(p.isnan().all() for p in params)
