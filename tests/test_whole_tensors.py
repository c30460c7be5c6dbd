"""Rules that measure whole tensors: norms that are 0, complex parameters, tensors that lie in memory in other ways."""

import numpy as np
import pytest
import torch
from subjects import ORACLES, gradients, run

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
