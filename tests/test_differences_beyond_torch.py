"""The facts of docs/differences.md about rules that torch lacks or has under conditions, and about p.grad.

Whatever number the page gives as the size of a difference is asserted here.
"""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from libraries import BOTH, ROUNDING, STEADY, G, P, adam, default, library, means, same, take, take_optax, unbias

# AdaBelief, Lion, Prodigy


def belief(eps: float, inside: float) -> np.ndarray:
    m, s, found = means(G, 0.9), np.zeros(3), []
    for t, g in enumerate(G):
        s = 0.999 * s + 0.001 * (g - m[t]) ** 2 + inside
        found.append(m[t] / unbias(0.9)[t] / (np.sqrt(s / unbias(0.999)[t]) + eps))
    return np.array(found)


def test_adabelief_rectified():
    """timm's class is RAdam's cousin unless told otherwise: lr * g first, where the others take 1.11 lr."""
    settings = {"gradients": G[:1], "lr": 1.0, "eps": 0.0}
    assert same(take("timm.optim:AdaBelief", **settings), G[:1])
    others = [
        take("timm.optim:AdaBelief", **settings, rectify=False),
        take("pytorch_optimizer:AdaBelief", **settings),
        take("thalweg.optim:AdaBelief", **settings),
        take_optax(library("optax").adabelief(1.0, eps=0.0, eps_root=0.0), G[:1]),
    ]
    for other in others:
        assert same(np.abs(other), np.full((1, 3), 1 / 0.9))


def test_adabelief_eps():
    """Stored in s and added once more; optax names the two apart."""
    names = {
        "timm.optim:AdaBelief": {"rectify": False},
        "pytorch_optimizer:AdaBelief": {},
        "thalweg.optim:AdaBelief": {},
    }
    for name, more in names.items():
        assert same(take(name, lr=1.0, eps=0.01, **more), belief(0.01, 0.01))
    adabelief = library("optax").adabelief
    assert same(take_optax(adabelief(1.0, eps=0.01, eps_root=0.01)), belief(0.01, 0.01))
    assert same(take_optax(adabelief(1.0, eps=0.01, eps_root=0.0)), belief(0.01, 0.0))
    assert not same(belief(0.01, 0.01), belief(0.01, 0.0))


def test_lion_default_decay():
    nothing = np.zeros((1, 3))
    for name in ("timm.optim:Lion", "pytorch_optimizer:Lion", "thalweg.optim:Lion"):
        assert same(take(name, nothing, lr=0.1), nothing)
    assert same(take_optax(library("optax").lion(0.1), nothing), [0.1 * 1e-3 * P])


def test_prodigy_bias_correction():
    """Left out by default in two, made in the third: the first step is 3.16 d0 or d0."""
    made = 1e-6 / (1 + 1e-8 / math.sqrt(0.001))
    left_out = made * 0.1 / math.sqrt(0.001)
    assert math.isclose(left_out / made, 3.16, rel_tol=1e-3)
    contrib = library("optax.contrib")
    for expected, first in (
        (left_out, take("prodigyopt:Prodigy", **STEADY)),
        (left_out, take("pytorch_optimizer:Prodigy", **STEADY)),
        (left_out, take("thalweg.optim:Prodigy", **STEADY)),
        (made, take("prodigyopt:Prodigy", **STEADY, use_bias_correction=True)),
        (made, take("thalweg.optim:Prodigy", **STEADY, use_bias_correction=True)),
        (made, take_optax(contrib.prodigy(1.0), **STEADY)),
    ):
        assert math.isclose(first[0, 0], expected, rel_tol=ROUNDING / 1e-6)  # of a parameter of 1, moved by 1e-6


# Norms of whole tensors


def size(updates) -> float:
    """The first update's norm."""
    return float(np.linalg.norm(np.asarray(updates)[0]))


def test_lamb_bias_correction():
    """The first step in units of lr |p|: 1, or 1 / (1 - beta1) = 10 where the mean is corrected after the norm."""
    weight = np.linalg.norm(P)
    assert math.isclose(size(take("pytorch_optimizer:Lamb", lr=0.1, eps=0.0)), 10 * 0.1 * weight, rel_tol=ROUNDING)
    for always in (
        take("timm.optim:Lamb", lr=0.1, eps=0.0, weight_decay=0.0, always_adapt=True),
        take_optax(library("optax").lamb(0.1, eps=0.0)),
        take("thalweg.optim:LAMB", lr=0.1, eps=0.0),
    ):
        assert math.isclose(size(always), 0.1 * weight, rel_tol=ROUNDING)


def test_lamb_without_decay():
    """timm scales by the norms only where weight_decay is on: otherwise it is Adam."""
    without = take("timm.optim:Lamb", lr=0.1, eps=0.0, weight_decay=0.0, max_grad_norm=None)
    assert same(without, 0.1 * adam())
    scaled = take_optax(library("optax").lamb(0.1, eps=0.0))
    assert not same(without, scaled) and same(take("thalweg.optim:LAMB", lr=0.1, eps=0.0), scaled)


def test_lamb_clipping():
    """timm first scales all gradients to a common norm of at most 1; the others take them as they come."""
    clipped = G / np.maximum(1, np.linalg.norm(G, axis=1, keepdims=True))
    settings = {"lr": 0.1, "eps": 0.0, "weight_decay": 0.0}
    theirs = take("timm.optim:Lamb", **settings)
    assert same(theirs, 0.1 * adam(gradients=clipped))
    always = take("timm.optim:Lamb", **settings, always_adapt=True)
    ours = take("thalweg.optim:LAMB", **settings, clip_norm=1.0)
    assert np.allclose(ours, always, rtol=1e-5)  # ours divides by norm + 1e-6, as torch's clipping does
    assert not same(0.1 * adam(gradients=clipped), 0.1 * adam())


def test_lamb_norm_cap():
    """A parameter of norm 100: pytorch_optimizer counts it as 10."""
    start = 100 * P / np.linalg.norm(P)
    capped = take("pytorch_optimizer:Lamb", start=start, lr=0.1, eps=0.0)
    assert math.isclose(size(capped), 10 * 0.1 * 10, rel_tol=ROUNDING)
    for unbounded in (
        take_optax(library("optax").lamb(0.1, eps=0.0), start=start),
        take("thalweg.optim:LAMB", start=start, lr=0.1, eps=0.0),
    ):
        assert math.isclose(size(unbounded), 10, rel_tol=ROUNDING)


def test_lars_trust_ratio():
    """Scaled by the norms: always, only with decay, or only for matrices."""
    settings = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    ratio = 0.001 * np.linalg.norm(P) / np.linalg.norm(G[0])
    assert same(take("timm.optim:Lars", **settings)[0], G[0])
    assert same(take("pytorch_optimizer:LARS", **settings)[0], G[0])
    matrix = take("pytorch_optimizer:LARS", G[:, None, :], P[None, :], **settings)
    assert same(matrix[0], [ratio * G[0]])
    for always in (take_optax(library("optax").lars(1.0, momentum=0.0)), take("thalweg.optim:LARS", **settings)):
        assert same(always[0], ratio * G[0])


# Adafactor


def test_adafactor_lr():
    """What lr=0.5 is in the first step, at |g| = 1 and a parameter of size 2: cap, factor, step or nothing."""
    settings = {"gradients": np.ones((1, 4)), "start": np.full(4, 2.0), "lr": 0.5}
    for module in BOTH:
        assert math.isclose(take(f"{module}:Adafactor", **settings)[0, 0], 0.5 * 2)
        later = take(f"{module}:Adafactor", **{**settings, "gradients": np.ones((9, 4))})
        assert math.isclose(later[8, 0], abs(2 - later[:8, 0].sum()) / 3)  # min(lr, 1 / sqrt(9)) of what is left
    for scale, step in ((True, 0.5 * 2), (False, 0.5)):
        ours = take("thalweg.optim:Adafactor", **settings, relative_step=False, scale_parameter=scale)
        assert math.isclose(ours[0, 0], step)
    plain = take("transformers.optimization:Adafactor", **settings, relative_step=False, scale_parameter=True)
    assert math.isclose(plain[0, 0], 0.5 * 2)
    assert math.isclose(take("timm.optim:Adafactor", **settings)[0, 0], 0.5)
    ignored = take("pytorch_optimizer:AdaFactor", **settings, betas=(None, 0.999))
    assert math.isclose(ignored[0, 0], 0.01 * 2)
    optax = library("optax")
    assert math.isclose(take_optax(optax.adafactor(0.5), np.ones((1, 4)), np.full(4, 2.0))[0, 0], 0.5 * 2)


def test_adafactor_decay():
    """Decay by lr, by lr and the parameter's size, or by itself."""
    nothing, start, lr = np.zeros((1, 4)), np.full(4, 2.0), 0.01
    settings = {"gradients": nothing, "start": start, "lr": lr, "weight_decay": 0.1}
    for module in BOTH:
        assert same(take(f"{module}:Adafactor", **settings), [lr * 0.1 * start])
    scaled = take("transformers.optimization:Adafactor", **settings, relative_step=False, scale_parameter=True)
    assert same(scaled, [lr * 2 * 0.1 * start])
    assert same(take_optax(library("optax").adafactor(lr, weight_decay_rate=0.1), nothing, start), [0.1 * start])


def test_adafactor_factoring():
    """From which size on a matrix of second moments is kept as rows and columns: any, above 16, from 128."""
    g = np.outer(np.ones(16), np.linspace(1, 2, 16)) + 3 * np.eye(16)
    start = np.ones((16, 16))
    rows, columns = (g**2).mean(1, keepdims=True), (g**2).mean(0, keepdims=True)
    factored, whole = g / np.sqrt(rows * columns / rows.mean()), np.sign(g)

    def direction(update):
        return update / np.linalg.norm(update) * 16

    def like(update, expected):
        return same(direction(update[0]), direction(expected))

    assert not same(direction(factored), direction(whole))
    for module in BOTH:
        assert like(take(f"{module}:Adafactor", [g], start), factored)
    assert like(take("transformers.optimization:Adafactor", [g], start), factored)
    assert like(take("pytorch_optimizer:AdaFactor", [g], start, betas=(None, 0.999)), factored)
    assert like(take("timm.optim:Adafactor", [g], start), whole)
    assert like(take_optax(library("optax").adafactor(0.1), [g], start), whole)
    assert default("timm.optim:Adafactor", "min_dim_size_to_factor") == 16
    assert inspect.signature(library("optax").adafactor).parameters["min_dim_size_to_factor"].default == 128


# Muon


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")
def test_muon_scale():
    """A square matrix of side 64: lr times an orthogonal one, or 1.6 times that; more the larger it is."""
    g = np.random.default_rng(0).standard_normal((1, 64, 64))
    settings = {"gradients": g, "start": np.zeros((64, 64)), "lr": 1.0, "weight_decay": 0.0}
    plain = take("torch.optim:Muon", **settings)
    matched = take("torch.optim:Muon", **settings, adjust_lr_fn="match_rms_adamw")
    assert same(matched, 1.6 * plain) and same(take("torch.optim:Muon", **settings, adjust_lr_fn="original"), plain)
    theirs = take("timm.optim:Muon", **settings)
    assert same(theirs, 1.6 * take("timm.optim:Muon", **settings, adjust_lr_fn="original"))
    assert same(take("thalweg.optim:Muon", **settings), plain)
    assert np.allclose(
        take("thalweg.optim:Muon", **settings, adjust_lr_fn="match_rms_adamw", nesterov=False), theirs, atol=0.02
    )
    assert (default("torch.optim:Muon", "nesterov"), default("timm.optim:Muon", "nesterov")) == (True, False)


# The gradient itself


def test_gradients_overwritten():
    """p.grad after the step, for whoever logs its norm or goes on accumulating."""

    def after(name, **settings):
        module, _, cls = name.partition(":")
        p = torch.nn.Parameter(torch.ones(1))
        p.grad = torch.tensor([0.5])
        optimizer = getattr(library(module), cls)([p], **settings)
        if hasattr(optimizer, "train"):
            optimizer.train()
        optimizer.step()
        return p.grad.item()

    for module in BOTH:
        assert after(f"{module}:Adamax", weight_decay=0.1) == after(f"{module}:Adam", maximize=True) == 0.5
    assert math.isclose(after("pytorch_optimizer:AdaMax", weight_decay=0.1), 0.6, rel_tol=1e-6)
    assert after("pytorch_optimizer:Lion", maximize=True) == -0.5
    assert math.isclose(after("schedulefree:AdamWScheduleFree", eps=0.0), 1.0, rel_tol=1e-6)
