"""The facts of docs/differences.md about torch's rules: a formula in NumPy, who follows it, and who does not.

Whatever number the page gives as the size of a difference is asserted here.
"""

from __future__ import annotations

import inspect
import math

import numpy as np
import torch
from libraries import BOTH, STEADY, G, P, adam, default, library, means, same, take, take_optax, unbias

TINY = 1e-8


# RMSprop


def test_rmsprop_first_accumulator():
    """Zero here, one there: the first steps differ by 1 / sqrt(1 - alpha) and more."""
    g = np.array([[1.0, -0.01]])
    settings = {"gradients": g, "start": [1.0, 2.0], "lr": 1.0, "alpha": 0.99, "eps": 1e-10}
    for module in BOTH:
        assert same(take(f"{module}:RMSprop", **settings), g / (np.sqrt(0.01 * g**2) + 1e-10))
    from_one = take("timm.optim:RMSpropTF", **settings)
    assert same(from_one, g / np.sqrt(0.99 + 0.01 * g**2 + 1e-10))
    sizes = np.abs(take("torch.optim:RMSprop", **settings) / from_one)[0]
    assert np.allclose(sizes, [10, 995], rtol=1e-3)
    optax = library("optax")
    for start in (0.0, 1.0):
        ours = take_optax(optax.rmsprop(1.0, decay=0.99, eps=1e-10, initial_scale=start), g, [1.0, 2.0])
        assert same(ours, g / np.sqrt(0.99 * start + 0.01 * g**2 + 1e-10))


def test_rmsprop_eps():
    """Outside the root it is compared with |g|, inside with g^2: a gradient of 1e-4 already feels 1e-8 there."""
    g = np.array([[1.0, 1e-4]])
    outside, inside = g / (np.sqrt(0.01 * g**2) + TINY), g / np.sqrt(0.01 * g**2 + TINY)
    for module in BOTH:
        assert same(take(f"{module}:RMSprop", g, [1.0, 2.0], lr=1.0, alpha=0.99, eps=TINY), outside)
    optax = library("optax")
    assert same(take_optax(optax.rmsprop(1.0, decay=0.99, eps=TINY), g, [1.0, 2.0]), inside)
    assert same(take_optax(optax.rmsprop(1.0, decay=0.99, eps=TINY, eps_in_sqrt=False), g, [1.0, 2.0]), outside)
    assert not same(outside, inside) and np.allclose(outside / inside, [[1, 10]], rtol=0.01)


def test_rmsprop_decay_default():
    assert default("torch.optim:RMSprop", "alpha") == default("thalweg.optim:RMSprop", "alpha") == 0.99
    assert default("timm.optim:RMSpropTF", "alpha") == 0.9
    assert inspect.signature(library("optax").rmsprop).parameters["decay"].default == 0.9


def test_rmsprop_momentum_and_lr():
    """lr divided by ten before the second step: the buffer outside shrinks with it, inside it does not."""
    rates = {1: 1.0, 2: 0.1, 3: 0.1}
    settings = {"rates": rates, "lr": 1.0, "alpha": 0.9, "eps": 1e-10, "momentum": 0.9}
    directions = G / (np.sqrt(means(G**2, 0.9)) + 1e-10)
    buffer, outside = np.zeros(3), []
    for step, d in enumerate(directions, 1):
        buffer = 0.9 * buffer + d
        outside.append(rates[step] * buffer)
    for module in BOTH:
        assert same(take(f"{module}:RMSprop", **settings), outside)
    for start, updates in (
        (1.0, take("timm.optim:RMSpropTF", **settings)),
        (0.0, take_optax(library("optax").rmsprop(lambda step: 1.0 - 0.9 * (step > 0), 0.9, 1e-10, momentum=0.9))),
    ):
        buffer, inside = np.zeros(3), []
        for step, d in enumerate(G / np.sqrt(means(G**2, 0.9, start) + 1e-10), 1):
            buffer = 0.9 * buffer + rates[step] * d
            inside.append(buffer)
        assert same(updates, inside)
        assert not same(updates, outside)


def test_rmsprop_centred_below_zero():
    """A steady gradient: s - a^2 is 0 but for rounding, and the root of what falls below is NaN."""
    found = {}
    for module in BOTH:
        p = torch.nn.Parameter(torch.zeros(1000))
        optimizer = library(module).RMSprop([p], centered=True)
        for _ in range(2000):
            p.grad = torch.linspace(0.1, 1, 1000)
            optimizer.step()
        found[module] = bool(p.isnan().any())
    assert found == {"torch.optim": True, "thalweg.optim": False}


# Adam and AdamW


def test_adam_eps():
    """One place for eps, outside and after the correction; optax has a second, inside."""
    for module in BOTH:
        assert same(take(f"{module}:Adam", lr=1.0, eps=0.1), adam(eps=0.1))
    optax = library("optax")
    assert same(take_optax(optax.adam(1.0, eps=0.1)), adam(eps=0.1))
    assert same(take_optax(optax.adam(1.0, eps=0.0, eps_root=0.1)), adam(inside=0.1))
    assert not same(adam(eps=0.1), adam(inside=0.1))


def test_adam_bias_correction():
    """Left out, the first step is (1 - beta1) / sqrt(1 - beta2) = 3.16 lr."""
    left_out = take("thalweg.optim:Adam", lr=1.0, eps=0.0, bias_correction=False)
    assert same(left_out, adam(corrected=(False, False)))
    assert not same(left_out, adam())
    assert np.allclose(np.abs(left_out[0]), 3.16, rtol=1e-3) and same(np.abs(adam()[0]), np.ones(3))


def test_adam_coupled_decay():
    """Without a gradient, coupled decay moves every element by lr, however small the decay; decoupled by lr * decay."""
    nothing = np.zeros((1, 3))
    for decay in (0.1, 0.001):
        for module in BOTH:
            settings = {"gradients": nothing, "lr": 1.0, "eps": 0.0, "weight_decay": decay}
            assert same(take(f"{module}:Adam", **settings), [np.sign(P)])
            assert same(take(f"{module}:AdamW", **{**settings, "eps": TINY}), [decay * P])
    assert same(
        take("thalweg.optim:Adam", lr=0.1, weight_decay=0.1, decoupled_weight_decay=True),
        take("torch.optim:AdamW", lr=0.1, weight_decay=0.1),
    )


def test_adamw_default_decay():
    nothing = np.zeros((1, 3))
    for module in BOTH:
        assert same(take(f"{module}:AdamW", nothing, lr=1.0), [0.01 * P])
    assert same(take_optax(library("optax").adamw(1.0), nothing), [1e-4 * P])


def test_decay_without_lr():
    """`fixed_decay`: the parameter shrinks by weight_decay itself, at lr 1e-3 a thousand times as much."""
    nothing = np.zeros((1, 3))
    settings = {"gradients": nothing, "lr": 1e-3, "weight_decay": 0.1}
    assert same(take("thalweg.optim:AdamW", **settings), [1e-4 * P])
    for name in ("timm.optim:AdaBelief", "pytorch_optimizer:AdaBelief", "pytorch_optimizer:Lion"):
        assert same(take(name, **settings, fixed_decay=True), [0.1 * P])
        assert same(take(name, **settings), [1e-4 * P])


def test_amsgrad_maximum():
    """The maximum of the raw v, then corrected, or of the corrected v: after one large gradient 0.71 of the step."""
    g = np.array([[10.0], [0.1]])
    m, v, scale = means(g, 0.9) / unbias(0.9, 2), means(g**2, 0.999), unbias(0.999, 2)
    raw = m / np.sqrt(np.maximum.accumulate(v) / scale)
    corrected = m / np.sqrt(np.maximum.accumulate(v / scale))
    for module in BOTH:
        assert same(take(f"{module}:Adam", g, [1.0], lr=1.0, eps=0.0, amsgrad=True), raw)
    assert same(take_optax(library("optax").amsgrad(1.0, eps=0.0), g, [1.0]), corrected)
    assert math.isclose(corrected[1, 0] / raw[1, 0], 0.71, rel_tol=0.01)


# RAdam and NAdam


def radam(steps: int, threshold: float, before: float = 0.0, after: float = 0.0, beta2: float = 0.999) -> np.ndarray:
    """RAdam's steps under a steady gradient of 1, where both corrected moments are 1."""
    rho_inf, found = 2 / (1 - beta2) - 1, []
    for t in range(1, steps + 1):
        unbias2 = 1 - beta2**t
        rho = rho_inf - 2 * t * beta2**t / unbias2
        if rho > threshold:
            r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            found.append([r / (1 + before / math.sqrt(unbias2) + after)])
        else:
            found.append([1.0])
    return np.array(found)


CANCELLED = 1999 / (1 - 0.999**5)  # rho, of about 5, is the difference of two numbers near 1999, one over 1 - beta2^t


def test_radam_threshold():
    """5 in code, 4 in the paper: one step earlier with beta2 = 0.999."""
    optax = library("optax")
    five, four = radam(8, 5.0), radam(8, 4.0)
    for module in BOTH:
        assert same(take(f"{module}:RAdam", **STEADY, lr=1.0, eps=0.0), five)
    assert same(take_optax(optax.radam(1.0, eps=0.0), **STEADY), five, CANCELLED)
    assert same(take_optax(optax.radam(1.0, eps=0.0, threshold=4.0), **STEADY), four, CANCELLED)
    assert same(take("thalweg.optim:RAdam", **STEADY, lr=1.0, eps=0.0, rectify_above=4.0), four)
    assert np.flatnonzero(five != four).tolist() == [4] and not same(five, four, CANCELLED)


def test_radam_before_rectification():
    """Five steps of lr times the mean, or five steps of nothing."""
    found = take("pytorch_optimizer:RAdam", **STEADY, lr=1.0, eps=0.0)
    assert same(found[:5], np.zeros((5, 1))) and same(found[5:], radam(8, 5.0)[5:])
    assert same(take("pytorch_optimizer:RAdam", **STEADY, lr=1.0, eps=0.0, degenerated_to_sgd=True), radam(8, 5.0))
    assert same(take("thalweg.optim:RAdam", **STEADY, lr=1.0, eps=0.0)[:5], np.ones((5, 1)))


def test_radam_eps():
    """Beside sqrt(v) before its correction, it weighs 1 / sqrt(1 - beta2^t): at the sixth step 13 times as much."""
    before, after = radam(8, 5.0, before=0.01), radam(8, 5.0, after=0.01)
    for module in BOTH:
        assert same(take(f"{module}:RAdam", **STEADY, lr=1.0, eps=0.01), before)
    assert same(take("pytorch_optimizer:RAdam", **STEADY, lr=1.0, eps=0.01)[5:], before[5:])
    assert same(take_optax(library("optax").radam(1.0, eps=0.01), **STEADY), after, CANCELLED)
    assert not same(before, after, CANCELLED) and math.isclose(1 / math.sqrt(1 - 0.999**6), 13, rel_tol=0.01)


def test_radam_decay():
    """The same argument, coupled in one and decoupled in another; and once not applied at all."""
    settings = {**STEADY, "lr": 0.1}
    plain, decayed = (take("torch.optim:RAdam", **settings, weight_decay=decay) for decay in (0.0, 0.1))
    assert same(decayed[0], 0.1 * (1 + 0.1)) and same(plain[0], 0.1)
    decoupled = take("thalweg.optim:RAdam", **settings, weight_decay=0.1, decoupled_weight_decay=True)
    assert same(decoupled[0], 0.1 + 0.1 * 0.1)
    single = np.finfo(np.float32).eps * 8
    legacy = take("timm.optim.radam:RAdamLegacy", **settings, weight_decay=0.1)
    assert np.allclose(legacy, decoupled, rtol=0, atol=8 * single)
    coupled = take("pytorch_optimizer:RAdam", **settings, weight_decay=0.1, weight_decouple=False)
    assert same(coupled, take("pytorch_optimizer:RAdam", **settings))
    assert not same(coupled, take("pytorch_optimizer:RAdam", **settings, weight_decay=0.1))


def test_radam_precision():
    """A float64 parameter of 3 + 2^-40, moved by 1: its last digits are kept, or rounded to float32."""
    start = 3 + 2.0**-40
    settings = {"gradients": [[1.0]], "start": [start], "lr": 1.0}
    for module in BOTH:
        assert same(take(f"{module}:RAdam", **settings), 1.0)
    end = start - take("timm.optim.radam:RAdamLegacy", **settings)[0, 0]
    assert end == np.float32(end) and not same(end, start - 1.0)


def test_nadam_schedule():
    """The momentum of the look-ahead: scheduled by psi, or beta1 with two ways of correcting it."""
    mu = 0.9 * (1 - 0.5 * 0.96 ** (0.004 * np.arange(1, 3)))
    scheduled = 1 + mu[1] * 0.1 / (1 - mu[0] * mu[1])
    settings = {**STEADY, "lr": 1.0, "eps": 0.0}
    assert same(take("thalweg.optim:NAdam", **settings)[0], scheduled)
    assert same(take("timm.optim.nadam:NAdamLegacy", **settings)[0], scheduled)
    rounding = np.finfo(np.float32).eps  # torch keeps the product of momenta in float32
    assert math.isclose(take("torch.optim:NAdam", **settings)[0, 0], scheduled, rel_tol=rounding)
    assert not same(take("torch.optim:NAdam", **settings)[0], scheduled)
    assert same(take("timm.optim:NAdamW", **settings, weight_decay=0.0)[0], (0.9 * 0.1 + 0.1) / 0.1)
    optax = library("optax")
    assert same(take_optax(optax.nadam(1.0, eps=0.0), **STEADY)[0], 0.9 * 0.1 / (1 - 0.9**2) + 1)
    assert [round(x, 2) for x in (scheduled, 1.9, 0.09 / 0.19 + 1)] == [1.06, 1.9, 1.47]


# Adagrad and Adadelta


def test_adagrad_first_accumulator():
    """0 or 0.1: with gradients of 0.1 the first step is lr or 0.30 lr. And eps, outside or inside."""
    g = np.array([[0.1, -1.0]])
    for module in BOTH:
        assert same(take(f"{module}:Adagrad", g, [1.0, 2.0], lr=1.0), g / (np.abs(g) + 1e-10))
        from_tenth = take(f"{module}:Adagrad", g, [1.0, 2.0], lr=1.0, initial_accumulator_value=0.1, eps=0.0)
        assert same(from_tenth, g / np.sqrt(g**2 + 0.1))
    assert same(take_optax(library("optax").adagrad(1.0), g, [1.0, 2.0]), g / np.sqrt(g**2 + 0.1 + 1e-7))
    assert math.isclose(from_tenth[0, 0], 0.30, rel_tol=0.01)


def test_adadelta_without_lr():
    """No learning rate given: 1, or a step uphill."""
    first = np.sqrt(1e-6) / np.sqrt(0.1 + 1e-6)
    for module in BOTH:
        assert same(take(f"{module}:Adadelta", **STEADY)[0], first)
    optax = library("optax")
    assert same(take_optax(optax.adadelta(), **STEADY)[0], -first)
    assert same(take_optax(optax.adadelta(1.0), **STEADY)[0], first)


# Momentum


def test_momentum_and_lr():
    """lr divided by ten before the second step, under a steady gradient: 0.19 or 1.0 of lr."""
    settings = {**STEADY, "rates": {2: 0.1}, "momentum": 0.9, "lr": 1.0}
    for module in BOTH:
        assert same(take(f"{module}:SGD", **settings)[1], 0.1 * 1.9)
    inside = take("thalweg.optim:ClassicalMomentum", **settings)
    assert same(inside[1], 0.9 + 0.1)
    optax = library("optax")

    def rate(step):
        return 1.0 - 0.9 * (step > 0)

    assert same(take_optax(optax.sgd(rate, momentum=0.9), **STEADY)[1], 0.1 * 1.9)
    assert same(take_optax(optax.lars(rate, momentum=0.9, trust_ratio_mask=False), **STEADY)[1], inside[1])


def test_momentum_first_buffer():
    """With dampening the first buffer is g, or is dampened like all others."""
    settings = {**STEADY, "lr": 1.0, "momentum": 0.9, "dampening": 0.5}
    for name in ("torch.optim:SGD", "thalweg.optim:SGD", "pytorch_optimizer:SGDW", "timm.optim:SGDW"):
        assert same(take(name, **settings)[:2], [[1.0], [0.9 + 0.5]])
    assert same(take("pytorch_optimizer:LARS", **settings)[:2], [[0.5], [0.45 + 0.5]])


def test_nesterov_form():
    """The rewritten form everywhere; the classical one keeps lr inside, and the parameter is the point ahead."""
    settings = {**STEADY, "lr": 1.0, "momentum": 0.9}
    first = [1.9, 0.9 * 1.9 + 1]
    for name in ("torch.optim:SGD", "thalweg.optim:SGD", "timm.optim:SGDW"):
        assert same(take(name, **settings, nesterov=True)[:2, 0], first)
        assert same(take(name, **settings, nesterov=True, rates={2: 0.1})[1], 0.1 * first[1])
    assert same(take_optax(library("optax").sgd(1.0, momentum=0.9, nesterov=True), **STEADY)[:2, 0], first)
    assert same(take("thalweg.optim:ClassicalNesterov", **settings)[:2, 0], first)
    assert same(take("thalweg.optim:ClassicalNesterov", **settings, rates={2: 0.1})[1], 0.1 * 1.9 + 0.9 * 0.9)
