"""Operations of the training loop around the step: schedulers, gradient scalers, hooks."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import lr_scheduler

from fuzz.gradients import give
from fuzz.operations import Dice, Setting, Side, operation
from fuzz.sides import TORCH

Tensor = torch.Tensor


@operation(weight=3)
def scheduled(side: Side, dice: Dice) -> None:
    """Some steps under a scheduler, which is then dropped."""
    optimizer = side.optimizer
    kind = dice.one(("OneCycleLR", "StepLR", "ReduceLROnPlateau", "CosineAnnealingLR", "LambdaLR"))
    scheduler: Any
    if kind == "OneCycleLR":
        cycles = "betas" in optimizer.defaults or "momentum" in optimizer.defaults
        scheduler = lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=8, cycle_momentum=cycles)
    elif kind == "StepLR":
        scheduler = lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    elif kind == "ReduceLROnPlateau":
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    elif kind == "CosineAnnealingLR":
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    else:
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.8**epoch)
    for count in range(dice.random.randint(2, 5)):
        give(side, dice)
        side.step()
        scheduler.step(*([float(count)] if kind == "ReduceLROnPlateau" else []))


def scales(setting: Setting) -> bool:
    # torch's scaler takes no complex gradients, and refuses float16 ones
    return not setting.case.sparse and not setting.complex and not setting.half


@operation(allowed=scales)
def gradient_scaler(side: Side, dice: Dice) -> None:
    """torch's scaler unscales the gradients in place, and leaves out the step where one is not finite."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    bad = dice.chance(0.3)
    scaler.scale(torch.zeros(()))
    for p in side.params:
        p.grad = dice.gradient(p) * 1024.0
    if bad and side.params[0].numel():
        side.params[0].grad.view(-1)[0] = torch.inf
    if side.limit == {"clip_norm": None, "on_nonfinite": "propagate"} and side.params[0].numel():
        if side.way == TORCH:
            scaler.unscale_(side.optimizer)
            if not bad:
                side.prepare()
        side.steps += 1
        if all(group.get("gradient_scale", 1.0) == 1.0 for group in side.groups):
            scaler.step(side.optimizer)
            scaler.update()
            side.notes.append(scaler.get_scale())
    side.optimizer.zero_grad()


@operation(allowed=lambda setting: scales(setting) and setting.case.wide)
def scale_handed_over(side: Side, dice: Dice) -> None:
    """As a scaler does it with torch's fused classes: the step is told the scale, and whether to be left out."""
    remove_hooks(side, dice)
    found = dice.chance(0.3)
    given = [dice.gradient(p) for p in side.params]
    if side.way == TORCH:
        for p, g in zip(side.params, given, strict=True):
            p.grad = g
        if not found:
            side.step()
        for p in side.params:
            p.grad = None
        return
    for p, g in zip(side.params, given, strict=True):
        p.grad = g * 256.0
    side.optimizer.grad_scale, side.optimizer.found_inf = torch.tensor(256.0), torch.tensor(float(found))
    try:
        side.step()
    finally:
        del side.optimizer.grad_scale, side.optimizer.found_inf
    for p in side.params:
        p.grad = None


@operation()
def add_hooks(side: Side, dice: Dice) -> None:
    """One before the step, which shrinks the gradients, and one after it, which pulls the parameters to zero."""

    def before(optimizer: Any, args: Any, kwargs: Any) -> None:
        side.notes.append("before")
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None and not p.grad.is_sparse:
                    p.grad = p.grad * 0.5

    def after(optimizer: Any, args: Any, kwargs: Any) -> None:
        side.notes.append("after")
        with torch.no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.mul_(0.98)

    optimizer = side.optimizer
    if side.limit["on_nonfinite"] != "propagate":
        return
    side.hooks += [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]


@operation()
def remove_hooks(side: Side, dice: Dice) -> None:
    for hook in side.hooks:
        hook.remove()
    side.hooks = []
