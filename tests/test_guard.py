"""Clipping, gradients that are not finite, and torch's gradient scaler: gradients stay as they are."""

from contextlib import nullcontext

import pytest
import torch
from subjects import DEVICE, FAST, parameters
from torch._subclasses.fake_tensor import FakeTensorMode

import thalweg.optim as optim

SHAPES = [(30,), (4, 5), ()]


@pytest.mark.parametrize("engine", ["reference", *({FAST: 0, "cuda": 0})])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RAdam", "RMSprop"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_clipping_is_clip_grad_norm_then_step(name, engine, scale, monkeypatch):
    if engine == "cuda" and DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    ours, theirs = parameters(SHAPES, torch.float32), parameters(SHAPES, torch.float32)
    groups = [{"params": ours[:1]}, {"params": ours[1:], "gradient_scale": scale}]
    mine = getattr(optim, name)(groups, lr=0.01, clip_norm=5.0, engine=engine)
    other = getattr(optim, name)(theirs, lr=0.01, engine=engine)
    generator = torch.Generator().manual_seed(0)
    for step in range(8):
        for index, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            p.grad = torch.randn(p.shape, generator=generator) * 10 ** (step % 3 - 1)
            q.grad = p.grad * (scale if index else 1.0)
        before = [p.grad.clone() for p in ours]
        norm = torch.nn.utils.clip_grad_norm_(theirs, 5.0)
        mine.step()
        other.step()
        assert mine.guard.last_norm == pytest.approx(norm.item(), rel=1e-6)
        assert all(torch.equal(p.grad, g) for p, g in zip(ours, before, strict=True))
    assert 0 < mine.guard.clipped_steps < 8
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_becomes_of_a_gradient_that_is_not_finite(bad):
    def outcome(**settings):
        a, b = parameters([(3,), (2,)], torch.float32)
        optimizer = optim.Adam([a, b], **settings)
        start = a.detach().clone()
        a.grad, b.grad = torch.ones(3), torch.tensor([1.0, bad])
        try:
            optimizer.step()
        finally:
            moved.append(not torch.equal(a, start))
        return a, b, optimizer

    moved = []
    a, b, _ = outcome()
    assert b[1].isnan() and a.isfinite().all() and b[0].isfinite()  # torch: inf / inf
    a, b, optimizer = outcome(on_nonfinite="skip_step")
    assert not moved[-1] and not optimizer.state and optimizer.guard.skipped_steps == 1
    with pytest.raises(FloatingPointError, match=r"parameter 1 \(shape \(2,\)\) is not finite; nothing was stepped"):
        outcome(on_nonfinite="raise")
    assert not moved[-1]
    # as torch: the clipping factor of a NaN norm is NaN, that of an infinite one 0
    a, b, _ = outcome(clip_norm=1.0)
    assert b[1].isnan() and a.isnan().all() == (bad != bad)


@pytest.mark.parametrize("fused", [True, None])
@pytest.mark.parametrize("name", ["SGD", "Adam", "RAdam", "Adagrad", "NAdam"])
def test_a_gradient_scaler_drives_every_rule(name, fused):
    """With fused=True it leaves unscaling to the step; a step with an infinite gradient is left out, by both."""
    settings = {"momentum": 0.9} if name == "SGD" else {}
    [a], [b] = parameters([(6,)], torch.float32), parameters([(6,)], torch.float32)
    mine = getattr(optim, name)([a], lr=0.1, fused=fused, **settings)
    other = getattr(torch.optim, name)([b], lr=0.1, **settings)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    generator = torch.Generator().manual_seed(0)
    for step in range(6):
        weight = torch.randn(6, generator=generator)
        mine.zero_grad()
        scaler.scale((a * weight).sum() * (torch.inf if step in (0, 3) else 1.0)).backward()
        scaler.step(mine)
        scaler.update()
        if step not in (0, 3):
            b.grad = weight
            other.step()
    assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)
    assert mine.guard.skipped_steps == (2 if fused else 0)
    assert not hasattr(mine, "found_inf")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip_norm": 0.0}, "clip_norm=0.0: allowed is a number above 0, or None"),
        ({"clip_norm": "1"}, "clip_norm='1'"),
        ({"on_nonfinite": "ignore"}, "on_nonfinite='ignore': allowed are 'propagate', 'skip_step', 'raise'"),
    ],
)
def test_what_is_not_allowed_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        optim.Adam(parameters([(2,)]), **settings)


@pytest.mark.parametrize(
    "guard", [{"clip_norm": 1.0}, {"on_nonfinite": "raise"}, {"on_nonfinite": "skip_step"}], ids=str
)
@pytest.mark.parametrize("inside", [True, False])
def test_the_guard_sees_nothing_of_gradients_without_numbers(guard, inside):
    with FakeTensorMode() as mode:
        p = torch.nn.Parameter(torch.zeros(3))
        p.grad = torch.zeros(3)
    optimizer = optim.Adam([p], **guard)
    with mode if inside else nullcontext():
        optimizer.step()
    assert optimizer.guard.last_norm is None and p in optimizer.state
    q = torch.nn.Parameter(torch.zeros(3, device="meta"))
    q.grad = torch.zeros(3, device="meta")
    with pytest.raises(ValueError, match="on the meta device holds no numbers"):
        optim.Adam([q], **guard).step()
