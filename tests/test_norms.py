"""The norm of all gradients: right where their own dtype cannot hold it, or its squares."""

import math

import pytest
import torch
from subjects import parameters

import thalweg.optim as optim
from thalweg.optimizers.norms import total_norm, total_norm_there

KINDS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64]


def wanted(gradients, scales):
    """By Python's own, which does not overflow."""
    numbers = [
        scale * part
        for g, scale in zip(gradients, scales, strict=True)
        for part in (torch.view_as_real(g) if g.is_complex() else g).double().flatten().tolist()
    ]
    return math.hypot(*numbers)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-7, 1.0, 1e3, 1e25, 1e200])
@pytest.mark.parametrize("dtype", KINDS)
def test_of_any_size_in_any_dtype(dtype, size):
    bounds = torch.finfo(dtype)
    size = min(max(size, bounds.smallest_normal), bounds.max / 10)
    generator = torch.Generator().manual_seed(0)
    gradients = [
        (torch.randn(n, generator=generator, dtype=torch.float64).clamp(-9, 9) * size).to(dtype) for n in (3, 700)
    ]
    scales = [1.0, -0.5]
    assert total_norm(gradients, scales) == pytest.approx(wanted(gradients, scales), rel=1e-5, abs=0)
    if size < 1e150:
        there = total_norm_there(gradients, scales)
        assert there.dtype == torch.float64 and there.item() == pytest.approx(
            wanted(gradients, scales), rel=1e-5, abs=0
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_what_is_not_finite_stays_so(dtype, bad):
    gradients = [torch.ones(3, dtype=dtype), torch.tensor([1.0, bad], dtype=dtype), None]
    norm = total_norm(gradients, [1.0, 1.0, 1.0])
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
    assert total_norm([torch.zeros(3)], [1.0]) == 0 == total_norm([None], [1.0]) == total_norm([torch.zeros(0)], [1.0])


LARGE = [(torch.float16, 1e3), (torch.bfloat16, 1e25), (torch.float32, 1e25)]


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize(("dtype", "size"), LARGE)
def test_large_gradients_are_clipped_not_dropped(dtype, size, engine):
    """10,000 of them have a norm that their dtype has no number for, or squares that it has none for."""
    for action in ("propagate", "skip_step", "raise"):
        [p] = parameters([(10000,)], dtype)
        before, p.grad = p.detach().clone(), torch.full((10000,), size, dtype=dtype)
        optimizer = optim.SGD([p], lr=1000.0, clip_norm=1.0, on_nonfinite=action, engine=engine, rounding="nearest")
        optimizer.step()
        assert optimizer.guard.last_norm == pytest.approx(100 * float(p.grad[0]), rel=1e-4)
        assert optimizer.guard.clipped_steps == 1 and optimizer.guard.skipped_steps == 0
        assert torch.allclose((before - p).float(), torch.full((10000,), 10.0), rtol=0.02)


def test_small_gradients_have_a_norm():
    [p] = parameters([(4,)], torch.float32)
    p.grad = torch.full((4,), 1e-30)
    optimizer = optim.SGD([p], lr=1.0, on_nonfinite="raise")
    optimizer.step()
    assert optimizer.guard.last_norm == pytest.approx(2e-30, rel=1e-5, abs=0)
