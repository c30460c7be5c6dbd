"""Optimizers with a single fault each: the right one with a method replaced."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch
from right import Right


def fault(*, base: type = Right, **methods: Any) -> type:
    """The right optimizer with methods replaced."""
    return type("Faulty", (base,), {"__module__": __name__, **methods})


def whole_step(change):
    """A step that does something else around the right one."""

    @torch.no_grad()
    def step(self, closure=None):
        return change(self, closure)

    return step


# -- faults of the step ---------------------------------------------------------------------------------------------


def shared_age(self, p, g, group):
    """One step count for all parameters of a group, raised by the last."""
    self.ages = getattr(self, "ages", 0) + (p is group["params"][0])
    Right.update(self, p, g, group)
    self.state[p]["step"].fill_(self.ages)


def cannot(self, p, g, group):
    raise RuntimeError("no")


def state_for_all(self, closure):
    for p in self.param_groups[0]["params"]:
        self.state[p].setdefault("seen", torch.tensor(1.0))
        if "step" not in self.state[p] and p.grad is not None:
            self.start(p, p.grad, self.state[p])
    return Right.step(self, closure)


def needs_a_gradient(self, closure):
    if all(p.grad is None for group in self.param_groups for p in group["params"]):
        raise RuntimeError("no gradient")
    return Right.step(self, closure)


def from_master(self, p, move, state):
    state["master"] = state.get("master", p.clone()) - move
    p.copy_(state["master"])


def to_first_storage(self, p, move, state):
    self.first = getattr(self, "first", {})
    self.first.setdefault(id(p), p.data).sub_(move)


def past_autograd(self, p, move, state):
    p.data.sub_(move)


def keeps_graph(self, p, g, group):
    Right.update(self, p, g, group)
    with torch.enable_grad():
        self.state[p]["last"] = p.grad * 1.0


def keeps_gradients(self, closure):
    self.last = [p.grad for group in self.param_groups for p in group["params"]]
    return Right.step(self, closure)


class Aliasing(Right):
    """Keeps the first gradient itself, which the user goes on writing to."""

    def update(self, p, g, group):
        first = self.state[p].setdefault("first", g)
        p.sub_(0.01 * g + 0.001 * first)


def spoils_gradient(self, p, g, group):
    p.grad.mul_(0.5)
    Right.update(self, p, g, group)


def first_gradient(self, p):
    self.held = getattr(self, "held", {})
    return self.held.setdefault(id(p), p.grad)


class LastRowWins(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            if p.grad.is_sparse:
                rows = p.grad._indices()[0]
                p[rows] = p[rows] - 0.1 * p.grad._values()
            else:
                p.sub_(0.1 * p.grad)


def as_flat_memory(self, p):
    return torch.as_strided(p.grad, p.shape, torch.empty(p.shape).stride())


# -- faults of construction -----------------------------------------------------------------------------------------


class Swallowing(Right):
    def __init__(self, params, **settings):
        super().__init__(params, **{k: v for k, v in settings.items() if k in ("lr", "weight_decay")})


def without_checks(self, group):
    params = group["params"]
    group["params"] = [params] if isinstance(params, torch.Tensor) else list(params)
    for name, value in self.defaults.items():
        group.setdefault(name, value)
    self.param_groups.append(group)


class Lenient(Right):
    """Takes anything for parameters."""

    add_param_group = without_checks

    def __init__(self, params, lr=0.01, **settings):
        params = list(params) if not isinstance(params, torch.Tensor) else [params]
        super().__init__(params or [torch.nn.Parameter(torch.ones(1))], lr=lr, **settings)


class Nameless(Right):
    def __init__(self, params, **settings):
        params = list(params)
        super().__init__([p[1] if isinstance(p, tuple) else p for p in params], **settings)


def late_group_is_slow(self, group):
    if self.param_groups and self.state:
        group["lr"] = 1e-5
    Right.add_param_group(self, group)


# -- faults of invariance, layouts, numbers, dtypes -----------------------------------------------------------------


def full_vectors_only(self, p, move):
    kept = move.flatten().clone()
    kept[kept.numel() // 4 * 4 :] = 0
    return kept.view_as(move)


@torch.no_grad()
def first_group_only(self, closure=None):
    groups = self.param_groups
    self.param_groups = groups[:1]
    try:
        return Right.step(self, closure)
    finally:
        self.param_groups = groups


def by_place(self, p, move):
    return move * (1 + next(i for i, q in enumerate(self.param_groups[0]["params"]) if q is p))


def flat_copy(self, p, move, state):
    p.reshape(-1).sub_(move.reshape(-1))  # a copy, where the parameter is not contiguous


def from_storage_start(self, p, move, state):
    torch.as_strided(p, p.shape, p.stride(), 0).sub_(move)


def skips_on_nan(self, closure):
    if any(not p.grad.isfinite().all() for p in self.param_groups[0]["params"] if p.grad is not None):
        return None
    return Right.step(self, closure)


class NormalisedByItself(Right):
    def update(self, p, g, group):
        p.sub_(group["lr"] * g / g.abs())


class ComplexAdam(Right):
    """A complex number by its absolute value, as one."""

    def update(self, p, g, group):
        p.sub_(0.1 * g / g.abs() if p.is_complex() else 0.1 * g.sign())


def to_float32(self, p, move, state):
    p.data = p.data.float() - move.float()


def dtype_of_first(self, p, g, group):
    first = self.param_groups[0]["params"][0].dtype
    Right.update(self, p, g.to(first).to(g.dtype), group)


def coarse_double(self, p, move):
    return move.bfloat16().double() if move.dtype == torch.float64 else move


# -- faults of determinism, settings, checkpoints, calling ----------------------------------------------------------


class Variants(Right):
    def __init__(self, params, lr=0.01, foreach=None):
        super().__init__(params, lr=lr)
        self.foreach = foreach

    def rate(self, group):
        return group["lr"] * (1.01 if self.foreach else 1)


def unset_start(self, p, g, state):
    Right.start(self, p, g, state)
    state["m"] = torch.empty_like(g)


class Copies(Right):
    """Its groups are copies: what a scheduler writes is lost."""

    @property
    def param_groups(self):
        return [dict(group) for group in self.own]

    @param_groups.setter
    def param_groups(self, groups):
        self.own = groups

    def add_param_group(self, group):
        self.own.append({**self.defaults, **group, "params": list(group["params"])})


def writes_lr(self, p, g, group):
    Right.update(self, p, g, group)
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].mul_(0.5)


class OutOfState(Right):
    """Keeps its momentum outside of the state."""

    def update(self, p, g, group):
        self.memory = getattr(self, "memory", {})
        m = self.memory[id(p)] = 0.9 * self.memory.get(id(p), torch.zeros_like(g)) + g
        p.sub_(0.01 * m)


class Note:
    pass


def starts_with_note(self, p, g, state):
    Right.start(self, p, g, state)
    state["note"] = Note()


def merging_load(self, state_dict):
    before = dict(self.state)
    Right.load_state_dict(self, state_dict)
    for p, state in before.items():
        if not self.state[p]:
            self.state[p] = state


def lenient_load(self, state_dict):
    for p, state in zip(self.param_groups[0]["params"], state_dict["state"].values(), strict=False):
        self.state[p] = {
            name: value.clone().view(-1)[: p.numel()].view_as(p) if value.dim() else value.clone()
            for name, value in state.items()
        }


def strict_load(self, state_dict):
    torch.optim.Optimizer.load_state_dict(self, state_dict)


def named_state(self):
    saved = Right.state_dict(self)
    return {**saved, "state": {f"p{place}": state for place, state in saved["state"].items()}}


def bare_state(self):
    groups = [{**group, "params": [0, 1]} for group in self.param_groups]
    return {"state": dict(enumerate(self.state.values())), "param_groups": groups}


def closure_twice(self, closure):
    if closure is not None:
        closure()
    return Right.step(self, closure)


def only_with_grad(self, closure=None):
    return Right.step(self, closure) if torch.is_grad_enabled() else None


BARE = Right.step  # before torch wraps it, at the first instance, to call hooks


def unhooked(self, closure=None):
    return BARE(self, closure)


unhooked.hooked = True


def with_lambda(self, closure):
    self.callback = lambda: None
    return Right.step(self, closure)


class BelievesScaler(Right):
    _step_supports_amp_scaling = True  # and takes no notice of found_inf and grad_scale

    def update(self, p, g, group):
        p.sub_(0.01 * g)


class Deadly(Right):
    """Ends the process at a parameter without elements, as bad native code may, and hangs at one without dimensions."""

    def update(self, p, g, group):
        if not p.numel():
            os.kill(os.getpid(), signal.SIGSEGV)
        while p.dim() == 0:
            time.sleep(1)
        print("stepping", flush=True)  # what it prints must not come between the outcomes
        super().update(p, g, group)


class Dying(Right):
    """Ends the process in every step."""

    def update(self, p, g, group):
        os._exit(3)


class NoGradInClosure(Right):
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        super().step()
        return loss


class Modal(Right):
    """As schedule-free optimizers: no step before train()."""

    training = False

    def train(self):
        self.training = True

    def update(self, p, g, group):
        if not self.training:
            raise Exception("not in train mode")
        super().update(p, g, group)
