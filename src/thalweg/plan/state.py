"""What an optimizer keeps for a parameter: made where it is missing, brought in line where the parameter has moved."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

import torch

from thalweg.plan.counters import Ages
from thalweg.plan.quantized import begin, drop_scales, fits, keep, widened
from thalweg.rule.definition import Rule
from thalweg.tensors.layout import in_full, is_flat, is_shard, laid_like, placed_alike, placed_like
from thalweg.tensors.quantization import form_of
from thalweg.tensors.rounding import HALVES, Rounding
from thalweg.tensors.subclasses import ordinary, plain

Tensor = torch.Tensor
State = dict[str, Any]
ESTIMATE = (
    "hessian_diag"  # in a state: the one thing that is there before the first step (`thalweg.optimizers.second_order`)
)


def counts(rule: Rule, storage: Rounding, form: Sized = ()) -> bool:
    """True where a state holds a step count: stochastic rounding needs one for any rule."""
    return rule.counts_steps or storage.name == "stochastic" or bool(form)


def lacking(state: Mapping[str, Any], rule: Rule, p: Tensor, group: Mapping[str, Any], kept: str = "") -> list[str]:
    """What a state that is there lacks of a whole one. `kept`: what its storage keeps, where that must be there."""
    numbers = ("step", *rule.carried) if rule.counts_steps else ()
    due = (*rule.torch_names.values(), *numbers, *([kept] if kept else ()))
    absent = [name for name in due if state.get(name) is None]
    if not absent or not rule.matrices:
        return absent
    blank = torch.empty(p.shape, device="meta")
    none = {rule.torch_names[letter] for letter, make in rule.matrices.items() if make(blank, group) is None}
    return [name for name in absent if name not in none]


def check_complete(state: Mapping[str, Any], rule: Rule, p: Tensor, group: Mapping[str, Any]) -> None:
    """RuntimeError where some of a rule's state is there, and some is not. A rule that a switch has chosen adds to that
    of another, and begins with what it finds."""
    absent = lacking(state, rule, p, group) if not rule.when and state.keys() - {ESTIMATE} else []
    if absent and len(absent) < len(lacking({}, rule, p, group)):
        raise RuntimeError(
            f"a parameter's state lacks {', '.join(absent)} (it has {', '.join(state)}): it was written by hand, or by "
            "another optimizer; `del optimizer.state[parameter]` begins it anew"
        )


def start(state: State, rule: Rule, storage: Rounding, p: Tensor, group: Mapping[str, Any]) -> bool:
    """Make what is missing of a parameter's state, and lay what is there out as the parameter is.

    True where a state of the rule was missing.
    """
    if not is_shard(p) and not ordinary(type(p)):
        p = plain(p)  # states are of no class but torch's
    if not torch.is_inference_mode_enabled():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.is_inference():
                state[name] = value.clone()  # loaded in inference mode; outside nobody may write to it
    _check_unprojected(state, rule, p, group)
    dtype = torch.float32 if p.dtype in HALVES else p.dtype
    missing = not rule.states
    form = dict(form_of(rule.moments, group["state_dtype"], p))
    for letter, name in rule.torch_names.items():
        held = state.get(name)
        if letter in form:
            if held is None:
                missing = True
                if rule.initial.get(letter) == "p":
                    keep(state, name, p.detach(), p, form[letter])
                else:
                    begin(state, name, _constant(rule, letter, group), p, form[letter])
            elif not fits(state, name, p, form[letter]):
                full = in_line(widened(state, name, rule.moments[letter]), name, p, torch.float32)
                keep(state, name, full, p, form[letter])
        elif letter in rule.matrices:
            make = rule.matrices[letter]
            if held is not None:
                held = widened(state, name, rule.moments[letter]) if letter in rule.moments else held
                check_matrix(held, name, make(torch.empty(p.shape, dtype=dtype, device="meta"), group), p)
                state[name] = held.to(p.device, dtype)
                drop_scales(state, name)
            elif (made := make(in_full(p.detach()).to(dtype), group)) is not None:
                state[name] = placed_like(made, p) if is_shard(p) and made.shape == p.shape else made
        elif held is None:
            missing = True
            state[name] = _first(rule, letter, dtype, p, group)
        else:
            full = widened(state, name, rule.moments[letter]) if letter in rule.moments else held
            state[name] = in_line(full, name, p, dtype)
            drop_scales(state, name)
    if storage.kept:
        held, kept_dtype = state.get(storage.kept), storage.kept_dtype(p.dtype)
        if held is None:
            held = p.detach().to(kept_dtype, copy=True) if storage.name == "master" else torch.zeros_like(p).detach()
        state[storage.kept] = in_line(held, storage.kept, p, kept_dtype)
    if counts(rule, storage, form):
        # a rule that counts no steps by itself has taken one where it has states
        begun = 0.0 if missing or rule.counts_steps else 1.0
        for name, first in {"step": begun, **rule.carried}.items():
            state.setdefault(name, torch.tensor(first, dtype=torch.float64, device="cpu"))
    return missing


def _first(rule: Rule, letter: str, dtype: torch.dtype, p: Tensor, group: Mapping[str, Any]) -> Tensor:
    source = rule.initial.get(letter)
    if source == "p":
        held = p if group["differentiable"] else p.detach()
        return held.to(dtype, copy=True, memory_format=torch.preserve_format)
    if source is not None and group["differentiable"]:
        followed: Tensor = torch.ones_like(p, dtype=dtype).detach() * group[source]  # by autograd
        return followed
    first = _constant(rule, letter, group)
    return torch.full_like(p, complex(first, first) if p.is_complex() else first, dtype=dtype).detach()


def _constant(rule: Rule, letter: str, group: Mapping[str, Any]) -> float:
    source = rule.initial.get(letter)
    return 0.0 if source is None else float(group[source])


def _check_unprojected(state: State, rule: Rule, p: Tensor, group: Mapping[str, Any]) -> None:
    """RuntimeError where a state of a projection meets a parameter that is whole."""
    for name in [name for letter, name in rule.torch_names.items() if letter not in rule.matrices]:
        if is_projected(state.get(name), p, group):
            raise RuntimeError(
                f"state {name!r} has shape {tuple(state[name].shape)}, its parameter {tuple(p.shape)}, and the group "
                f"has rank={group['rank']!r}: the state is of projected gradients (GaLore), and this step is at whole "
                "ones; for the step, put the projections in `p.data` and `p.grad`, or begin anew by "
                "`del optimizer.state[parameter]`"
            )


def in_line(held: Tensor, name: str, p: Tensor, dtype: torch.dtype) -> Tensor:
    """The state as it must lie beside its parameter: itself where it does; RuntimeError where it cannot."""
    if held.shape != p.shape:
        raise RuntimeError(
            f"state {name!r} has shape {tuple(held.shape)}, its parameter {tuple(p.shape)}: "
            "the parameter was resized, or the checkpoint is of another model"
        )
    if not placed_alike(held, p):  # kernels know addresses alone: another sharding's are of other elements
        held = placed_like(held, p)
    if held.dtype != dtype or held.device != p.device or (held.stride() != p.stride() and is_flat(p)):
        return laid_like(held, p, dtype)
    return held


def is_projected(held: Any, p: Tensor, group: Mapping[str, Any]) -> bool:
    """True for a state of projected gradients (GaLore), by the group's key that says to which rank they are projected.

    It is of a smaller parameter, which somebody puts in the place of the whole one for the step.
    """
    return isinstance(held, Tensor) and held.shape != p.shape and group.get("rank") in tuple(held.shape)


def check_matrix(held: Tensor, name: str, due: Tensor | None, p: Tensor) -> None:
    """RuntimeError where a state with a shape of its own cannot be this parameter's."""
    if due is None or held.shape != due.shape:
        expected = "none" if due is None else tuple(due.shape)
        raise RuntimeError(
            f"state {name!r} has shape {tuple(held.shape)}, and {expected} is due for a parameter of shape "
            f"{tuple(p.shape)}: the parameter was resized, a setting was changed, or the checkpoint is of another model"
        )


def share_ages(state: State, ages: Ages, place: int) -> None:
    """Move a state's step count and carried numbers into the common buffer."""
    for row, name in enumerate(ages.names):
        if name in state:
            held = state[name]
            followed = isinstance(held, torch.Tensor) and held.requires_grad  # by autograd: it stays as it is
            ages.tensor[row, place] = held.detach() if isinstance(held, torch.Tensor) else held
            if (
                ages.on_host
                and isinstance(held, torch.Tensor)
                and not held.is_cuda
                and held.untyped_storage().is_shared()
            ):
                ages.lend(row, place)
            elif not followed:
                state[name] = ages.view(row, place)
