"""An optimizer that keeps every law, and for each law one that breaks it: the right one with a single fault."""

from __future__ import annotations

import copy
import itertools
import os
import random
import signal
import time
from typing import Any

import torch

HALVES = (torch.bfloat16, torch.float16)


class Right(torch.optim.Optimizer):
    """Adam, plain and slow. What halves lose in rounding is kept in the state."""

    def __init__(self, params, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, maximize=False):
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        )

    def add_param_group(self, group):
        for name in group.keys() - {*self.defaults, "params"}:
            raise ValueError(f"unknown setting {name}")
        lr = group.setdefault("lr", self.defaults["lr"])
        if not lr >= 0:
            raise ValueError(f"lr: got {lr}; must be 0 or more")
        group["lr"] = lr.clone() if isinstance(lr, torch.Tensor) else lr
        super().add_param_group(group)
        params = [p for each in self.param_groups for p in each["params"]]
        for p in params:
            if p.numel() and 0 in [stride for size, stride in zip(p.shape, p.stride(), strict=False) if size > 1]:
                raise ValueError("elements share memory")
        for a, b in itertools.combinations([p for p in params if p.numel() and not p.is_meta], 2):
            if max(span(a)[0], span(b)[0]) < min(span(a)[1], span(b)[1]):
                raise ValueError("parameters share memory")

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, self.gradient(p, group), group)
        return loss

    def gradient(self, p, group):
        if p.grad.is_sparse:
            raise RuntimeError("sparse gradients are not supported")
        g = self.read(p).detach()
        g = g.float() if g.dtype in HALVES else g
        return -g if group["maximize"] else g

    def read(self, p):
        return p.grad

    def update(self, p, g, group):
        if p.is_complex():
            raise RuntimeError("complex parameters are not supported")
        state = self.state[p]
        if not state:
            self.start(p, g, state)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        g = g + group["weight_decay"] * p
        state["m"].mul_(beta1).add_(g, alpha=1 - beta1)
        state["v"].mul_(beta2).add_(g * g, alpha=1 - beta2)
        size = self.rate(group) / (1 - beta1 ** float(state["step"]))
        move = size * state["m"] / ((state["v"] / (1 - beta2 ** float(state["step"]))).sqrt() + group["eps"])
        self.write(p, self.shaped(p, move), state)

    def start(self, p, g, state):
        state.update(step=torch.tensor(0.0, dtype=torch.float32), m=torch.zeros_like(g), v=torch.zeros_like(g))
        if p.dtype in HALVES:
            state["lost"] = torch.zeros_like(g)

    def rate(self, group):
        return group["lr"]

    def shaped(self, p, move):
        return move

    def write(self, p, move, state):
        if p.dtype in HALVES:
            exact = p.float() + state["lost"] - move
            p.copy_(exact)
            state["lost"].copy_(exact - p.float())
        else:
            p.sub_(move)

    def load_state_dict(self, state_dict):
        before = [dict(group) for group in self.param_groups]
        super().load_state_dict(copy.deepcopy(state_dict))
        params = [p for group in self.param_groups for p in group["params"]]
        for place, state in state_dict["state"].items():
            self.state[params[place]] = copy.deepcopy(state)
        for group, old in zip(self.param_groups, before, strict=True):
            group.update({name: value for name, value in old.items() if name not in group})


def span(p: torch.Tensor) -> tuple[int, int]:
    """First and last address."""
    last = sum((size - 1) * stride for size, stride in zip(p.shape, p.stride(), strict=False))
    return p.data_ptr(), p.data_ptr() + (last + 1) * p.element_size()


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


ADAM, SGD, FUSED = torch.optim.Adam, torch.optim.SGD, {"fused": True}
NO_AGES = fault(update=shared_age)
LENIENT, NAN_SKIPPER, COPIES = Lenient, fault(step=whole_step(skips_on_nan)), Copies
STUMPS, PLACED = fault(shaped=full_vectors_only), fault(shaped=by_place)
# For each law an optimizer that breaks it, and its settings. Where torch itself has the fault, torch's class.
FAULTS: dict[str, tuple[type, dict[str, Any]]] = {
    "steps": (fault(update=cannot), {}),
    "moves_every_element": (STUMPS, {}),
    "goes_downhill": (fault(shaped=lambda self, p, move: -move), {}),
    "no_gradient": (fault(step=whole_step(state_for_all)), {}),
    "no_gradients_at_all": (fault(step=whole_step(needs_a_gradient)), {}),
    "late_gradients": (NO_AGES, {}),
    "a_missing_gradient": (NO_AGES, {}),
    "writes_are_kept": (fault(write=from_master), {}),
    "new_storage_is_followed": (fault(write=to_first_storage), {}),
    "autograd_is_told": (fault(write=past_autograd), {}),
    "no_graph": (fault(update=keeps_graph), {}),
    "lets_go": (fault(step=whole_step(keeps_gradients)), {}),
    "state_is_its_own": (Aliasing, {}),
    "gradients_are_left_alone": (fault(update=spoils_gradient), {}),
    "gradients_may_move": (fault(read=first_gradient), {}),
    "zero_grad": (fault(zero_grad=lambda self, set_to_none=True: None), {}),
    "sparse_gradients": (LastRowWins, {}),
    "gradient_strides": (fault(read=as_flat_memory), {}),
    "misspelt_settings": (Swallowing, {}),
    "negative_lr": (LENIENT, {}),
    "nan_lr": (LENIENT, {}),
    "bad_group_values": (LENIENT, {}),
    "misspelt_group_settings": (LENIENT, {}),
    "no_parameters": (LENIENT, {}),
    "a_tensor_for_a_list": (LENIENT, {}),
    "not_a_leaf": (LENIENT, {}),
    "the_same_parameter_twice": (LENIENT, {}),
    "named_parameters": (Nameless, {}),
    "a_group_added_late": (fault(add_param_group=late_group_is_slow), {}),
    "odd_sizes": (STUMPS, {}),
    "a_split_tensor": (STUMPS, {}),
    "split_groups": (fault(step=first_group_only), {}),
    "order_of_parameters": (PLACED, {}),
    "alone_or_among_many": (PLACED, {}),
    "zero_length": (fault(shaped=lambda self, p, move: move / move.abs().max() * 0.01), {}),
    "zero_dimensions": (fault(shaped=lambda self, p, move: move * (p.dim() > 0)), {}),
    "maximize": (fault(gradient=lambda self, p, group: p.grad.detach()), {}),
    "sliced_parameters": (fault(write=flat_copy), {}),
    "transposed_parameters": (fault(write=flat_copy), {}),
    "channels_last_parameters": (fault(write=flat_copy), {}),
    "misaligned_parameters": (fault(write=from_storage_start), {}),
    "expanded_parameters": (ADAM, FUSED),
    "overlapping_views": (ADAM, {}),
    "meta_parameters": (fault(shaped=lambda self, p, move: {}[p] if p.is_meta else move), {}),
    "a_constant_gradient": (torch.optim.RMSprop, {"centered": True}),
    "zero_gradients": (NormalisedByItself, {}),
    "nan_shows": (fault(shaped=lambda self, p, move: move.nan_to_num()), {}),
    "nan_stays_in_its_parameter": (NAN_SKIPPER, {}),
    "infinity_stays_in_its_parameter": (NAN_SKIPPER, {}),
    "nan_stays_in_its_element": (NAN_SKIPPER, {}),
    "float64_and_float32_agree": (fault(shaped=coarse_double), {}),
    "dtypes_stay": (fault(write=to_float32), {}),
    "mixed_dtypes": (fault(update=dtype_of_first), {}),
    "complex_numbers": (ComplexAdam, {}),
    "bfloat16_parameters_move": (ADAM, {}),
    "bfloat16_state_does_not_freeze": (ADAM, {}),
    "small_float16_gradients": (ADAM, {"foreach": False}),
    "default_dtype": (fault(rate=lambda self, group: group["lr"] * torch.ones(1).element_size()), {}),
    "the_same_run_twice": (fault(rate=lambda self, group: group["lr"] * random.random()), {}),
    "any_number_of_threads": (fault(rate=lambda self, group: group["lr"] / torch.get_num_threads()), {}),
    "implementations_agree": (Variants, {}),
    "no_memory_left_unset": (fault(start=unset_start), {}),
    "lr_is_followed": (fault(rate=lambda self, group: self.defaults["lr"]), {}),
    "each_group_has_its_own": (fault(rate=lambda self, group: self.defaults["lr"]), {}),
    "lr_zero": (fault(rate=lambda self, group: group["lr"] or 0.01), {}),
    "weight_decay": (fault(rate=lambda self, group: group["lr"] * (group["weight_decay"] == 0)), {}),
    "tensor_lr": (fault(update=writes_lr), {}),
    "tensor_lr_of_each_group": (ADAM, {}),
    "step_schedule": (COPIES, {}),
    "one_cycle_schedule": (COPIES, {}),
    "plateau_schedule": (COPIES, {}),
    "printed": (fault(__repr__=object.__repr__), {}),
    "resumed_run": (OutOfState, {}),
    "resumed_from_a_file": (fault(start=starts_with_note), {}),
    "resumed_in_bfloat16": (fault(load_state_dict=strict_load), {}),
    "format_of_the_checkpoint": (fault(state_dict=named_state), {}),
    "loaded_state_is_a_copy": (ADAM, {}),
    "loading_keeps_dtypes": (ADAM, {}),
    "loading_starts_anew": (fault(load_state_dict=merging_load), {}),
    "copied_and_pickled": (fault(step=whole_step(with_lambda)), {}),
    "another_number_of_parameters": (fault(load_state_dict=lenient_load), {}),
    "another_shape": (fault(load_state_dict=lenient_load), {}),
    "old_checkpoints": (fault(load_state_dict=strict_load), {}),
    "closure": (fault(step=whole_step(closure_twice)), {}),
    "under_no_grad": (fault(step=only_with_grad), {}),
    "step_hooks": (fault(step=unhooked), {}),
    "checkpoint_hooks": (fault(state_dict=bare_state), {}),
    "a_step_skipped_by_a_scaler": (BelievesScaler, {}),
    "scaled_gradients": (BelievesScaler, {}),
}


class Crashing(Right):
    """Ends the process at a parameter without elements, as bad native code may."""

    def update(self, p, g, group):
        if not p.numel():
            os.kill(os.getpid(), signal.SIGSEGV)
        print("stepping", flush=True)  # what it prints must not come between the outcomes
        super().update(p, g, group)


class Hanging(Right):
    """Never ends at a parameter without elements."""

    def update(self, p, g, group):
        while not p.numel():
            time.sleep(1)
        super().update(p, g, group)


class Dying(Right):
    """Ends the process in every step."""

    def update(self, p, g, group):
        os._exit(3)
