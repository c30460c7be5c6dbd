"""Settings that change while it runs: the step follows them, and leaves them as they are."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler

from thalweg.conformance.errors import RefusedError
from thalweg.conformance.evidence import copies, different, same
from thalweg.conformance.law import expect, law, need
from thalweg.conformance.subject import Subject, gradients, numbers

THEME = "settings"
STEPS = 6
NO_LR = "it has no lr"
LAST_DIGITS = 2.0**-21  # of a float32: four units in the last place
RATES = (2.0**-7, 2.0**-9)  # the same number in float32 and float64
FOLLOWED = ("lr", "momentum", "betas")  # what schedulers write


@law(THEME)
def lr_is_followed(s: Subject) -> str:
    """A learning rate changed in the group counts in the next step."""
    need(s.has("lr"), NO_LR)
    found = []
    for factor in (1.0, 0.5):
        params = s.params()
        drawn = gradients(params, s.silent + 4)
        optimizer = s.run(params, drawn[:-1])
        optimizer.param_groups[0]["lr"] *= factor
        before = copies(params)
        s.step(optimizer, drawn[-1])
        found.append([p.detach() - old for p, old in zip(params, before, strict=True)])
    moved = all(bool(different(a, b).any()) for a, b in zip(*found, strict=True))
    expect(moved, "with half the lr the next step is the same", "another step")
    ratio = float(found[1][0].norm() / found[0][0].norm())
    return f"half the lr: a step {ratio:.3g} times as long"


@law(THEME, may_refuse=True)
def each_group_has_its_own(s: Subject) -> str:
    """Groups with learning rates of their own step as optimizers of their own."""
    need(s.has("lr"), NO_LR)
    need(not s.couples_parameters, "its steps depend on all parameters together")
    lrs = (0.003, 0.02)
    grouped, apart = s.params(), s.params()
    drawn = gradients(grouped, 3)
    optimizer = s.build([{"params": [p], "lr": lr} for p, lr in zip(grouped, lrs, strict=True)])
    for each in drawn:
        s.step(optimizer, each)
    for place, (p, lr) in enumerate(zip(apart, lrs, strict=True)):
        s.run([p], [[each[place]] for each in drawn], lr=lr)
    same(grouped, apart)
    return f"lr {lrs[0]:g} and {lrs[1]:g}: the same bits as apart"


@law(THEME, may_refuse=True)
def lr_zero(s: Subject) -> str:
    """With a learning rate of 0 nothing moves."""
    need(s.has("lr"), NO_LR)
    params = s.params()
    before = copies(params)
    s.run(params, gradients(params, 3), lr=0.0)
    same(params, before)
    return "3 steps: the same bits"


@law(THEME)
def weight_decay(s: Subject) -> str:
    """weight_decay=0 leaves a parameter alone whose gradients are zero; 0.1 pulls it towards zero."""
    need(s.has("weight_decay"), "it has no weight_decay")
    zeros = [[torch.zeros_like(p) for p in s.params()]] * (s.silent + 3)
    still, pulled = s.params(), s.params()
    before = copies(still)
    s.run(still, zeros, weight_decay=0.0)
    # A last digit or two: Schedule-Free adds up to a parameter what it had taken apart.
    kept = all(torch.allclose(p, old, rtol=LAST_DIGITS, atol=0.0) for p, old in zip(still, before, strict=True))
    if not kept:
        same(still, before, "with weight_decay=0 and gradients of zero, the parameters")
    s.run(pulled, zeros, weight_decay=0.1)
    if s.couples_parameters:  # Prodigy takes no step before a gradient that tells how far to go
        need(any(bool(different(p, old).any()) for p, old in zip(pulled, before, strict=True)), "zeros move nothing")
    norms = [float(sum(p.detach().abs().sum() for p in each)) for each in (before, pulled)]
    seen = f"weight_decay=0.1 takes the sum of sizes from {norms[0]:.6g} to {norms[1]:.6g}"
    expect(norms[1] < norms[0], seen, "less")
    return seen


@law(THEME, may_refuse=True)
def tensor_lr(s: Subject) -> str:
    """A learning rate given as a tensor is refused, or steps as the number does, is followed, and is not changed."""
    need(s.has("lr"), NO_LR)
    plain, other = s.params(), s.params()
    drawn = gradients(plain, 4)
    rate = torch.tensor(RATES[0], device="cpu")
    one, two = s.build(plain, lr=RATES[0]), s.build(other, lr=rate)
    for each in drawn[:2]:
        s.step(one, each)
        s.step(two, each)
    expect(float(rate) == RATES[0], f"the tensor is {float(rate):g} after 2 steps", f"{RATES[0]:g} as given")
    one.param_groups[0]["lr"] = RATES[1]
    _write(two.param_groups[0], RATES[1])
    for each in drawn[2:]:
        s.step(one, each)
        s.step(two, each)
    s.near(other, plain, 4)
    return f"followed from {RATES[0]:g} to {RATES[1]:g}, and not changed"


def _write(group: dict[str, Any], lr: float) -> None:
    """As torch's schedulers do it: into the tensor, where it is one."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


@law(THEME, may_refuse=True)
def tensor_lr_of_each_group(s: Subject) -> str:
    """A learning rate given as a tensor is each group's own: a scheduler can set them apart."""
    need(s.has("lr"), NO_LR)
    params = s.params()
    optimizer = s.build([{"params": [p]} for p in params], lr=torch.tensor(RATES[0], device="cpu"))
    for each in gradients(params, 1):
        s.step(optimizer, each)
    lr_scheduler.LambdaLR(optimizer, [lambda _: 1.0, lambda _: 0.25])
    found = [float(group["lr"]) for group in optimizer.param_groups]
    expect(found == list(RATES), f"LambdaLR with factors 1 and 1/4 leaves {found}", f"{list(RATES)}")
    return f"LambdaLR with factors 1 and 1/4: {found}"


def drive(s: Subject, make: Callable[[torch.optim.Optimizer], Any], *measure: float) -> str:
    """Step under a scheduler, then again by hand with the values it wrote: the same bits."""
    params, again = s.params(), s.params()
    drawn = gradients(params, STEPS)
    written = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        optimizer = s.build(params)
        try:
            scheduler = make(optimizer)
        except (KeyError, ValueError, AttributeError) as error:
            raise RefusedError(error) from error
        for each in drawn:
            written.append({name: optimizer.param_groups[0][name] for name in FOLLOWED if s.has(name)})
            s.step(optimizer, each)
            scheduler.step(*measure)
    false = [str(w.message) for w in heard if "lr_scheduler.step()" in str(w.message)]
    expect(not false, f"torch warns: {' '.join(false)[:60]}", "no warning: the steps were taken in order")
    by_hand = s.build(again)
    for each, values in zip(drawn, written, strict=True):
        by_hand.param_groups[0].update(values)
        s.step(by_hand, each)
    same(params, again)
    rates = [values["lr"] for values in written]
    expect(len({float(rate) for rate in rates}) > 1, f"lr stays {rates[0]}", "a schedule")
    return f"lr from {float(rates[0]):.3g} to {float(rates[-1]):.3g}: as set by hand"


@law(THEME)
def step_schedule(s: Subject) -> str:
    """StepLR drives it."""
    need(s.has("lr"), NO_LR)
    return drive(s, lambda optimizer: lr_scheduler.StepLR(optimizer, 2, 0.5))


@law(THEME)
def one_cycle_schedule(s: Subject) -> str:
    """OneCycleLR drives it, and its momentum or betas where it has them."""
    need(s.has("lr"), NO_LR)
    cycles = bool({"momentum", "betas"} & s.defaults.keys())
    return drive(
        s, lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=STEPS + 1, cycle_momentum=cycles)
    )


@law(THEME)
def plateau_schedule(s: Subject) -> str:
    """ReduceLROnPlateau drives it."""
    need(s.has("lr"), NO_LR)
    return drive(s, lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=1), 1.0)


@law(THEME)
def printed(s: Subject) -> str:
    """repr() tells the class and its settings."""
    text = repr(s.build([torch.nn.Parameter(value) for value in numbers(s.shapes())]))
    expect(text.startswith(s.cls.__name__), repr(text[:30]), f"it starts with {s.cls.__name__}")
    if s.has("lr"):
        expect("lr: " in text, repr(text[:60]), "lr in it")
    return " ".join(text.split())[:60] + " ..."
