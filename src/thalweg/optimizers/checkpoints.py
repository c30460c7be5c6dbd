"""A checkpoint's way to float32, and to torch and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from thalweg.optimizers.loading import FLAGS, KEPT, StateDict
from thalweg.plan.quantized import LAYOUT, widened
from thalweg.tensors.quantization import SCALE


def in_full(taken: StateDict, moments: Mapping[str, str]) -> dict[str, Any]:
    """A checkpoint with all moments in float32."""
    states = {}
    for place, state in taken["state"].items():
        full = {name: widened(state, name, moments[name]) for name in moments if name in state}
        of_blocks = {name + what for name in full for what in (SCALE, LAYOUT)}
        states[place] = {name: value for name, value in {**state, **full}.items() if name not in of_blocks}
    groups = [group | ({"state_dtype": "float32"} if "state_dtype" in group else {}) for group in taken["param_groups"]]
    return {**taken, "state": states, "param_groups": groups}


def convert(state_dict: StateDict, from_: str, to: str, classes: Iterable[Any]) -> dict[str, Any]:
    """A checkpoint of a torch class as one of the class of the same name in `classes`, or the other way; a copy.

    States are the same in both, so it is about settings: those that torch lacks are added at their neutral values, and
    taken out on the way back. Either way and back gives the same checkpoint, but for numbers that a rule carries
    (`eta`, `mu_product`): torch has them in fewer bits. ValueError where torch has no words for a setting.
    """
    if {from_, to} != {"torch", "thalweg"}:
        raise ValueError(f"from_={from_!r}, to={to!r}: allowed are 'torch' and 'thalweg', in either order")
    if to == "torch":
        state_dict = in_full(state_dict, {name: kind for cls in classes for name, kind in cls._moments().items()})
    groups = []
    for group in state_dict["param_groups"]:
        candidates = _extras(group, classes, from_)
        if from_ == "torch":
            groups.append({**group, **_agreed(candidates)})
            continue
        wrong = [
            {n: v for n, v in extras.items() if n not in ("rounding", *KEPT) and group.get(n, v) != v}
            for extras in candidates
        ]
        fits = wrong.index({}) if {} in wrong else 0
        for name, neutral in wrong[fits].items():
            raise ValueError(f"{name}={group[name]!r}: torch's class has no such setting; it can only be {neutral!r}")
        extras = candidates[fits]
        groups.append({name: value for name, value in group.items() if name not in extras})
    if to == "torch":
        for place, state in state_dict["state"].items():
            for name in {"master", "compensation"} & state.keys():
                raise ValueError(
                    f"parameter {place} has a {name!r}, which torch would ignore: take one step with "
                    "rounding='stochastic' or 'nearest' and delete it from the state first"
                )
    state = {place: dict(own) for place, own in state_dict["state"].items()}
    if to == "torch":
        numbers = {"step", *(name for cls in classes for rule in cls.rules for name in rule.carried)}
        for own in state.values():
            own.update({name: _as_torchs(own[name]) for name in numbers & own.keys()})
    return {**state_dict, "state": state, "param_groups": groups}


def _as_torchs(number: Any) -> Any:
    """A count, or a carried number, in the dtype that torch has it in; a count beyond that one's reach stays."""
    if not isinstance(number, torch.Tensor) or number.dtype != torch.float64:
        return number
    short = number.to(torch.get_default_dtype())
    return number if number > 2**24 and short != number else short


UNTOLD = "decoupled_weight_decay"  # where it is not told, a checkpoint keeps quiet, and the class that loads it decides


def _agreed(candidates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The settings to add, without one in which the classes that it may be differ."""
    first = candidates[0]
    return {n: v for n, v in first.items() if n != UNTOLD or all(each.get(n, v) == v for each in candidates)}


def _extras(group: Mapping[str, Any], classes: Iterable[Any], from_: str) -> list[dict[str, Any]]:
    """The settings that only ours has, with their defaults, of the class whose group this is.

    Of both classes, where torch has not told Adam from AdamW: before torch 2.7 their groups hold the same settings.
    """
    found = []
    for cls in classes:
        of_one = [torch.zeros(1, 1, device="cpu")]  # a matrix, as some take nothing else
        torchs = getattr(torch.optim, cls.__name__)(of_one).defaults
        extras = {name: value for name, value in cls(of_one).defaults.items() if name not in torchs}
        own = extras.keys() - FLAGS.keys() - {UNTOLD}
        if torchs.keys() - FLAGS.keys() <= group.keys() and (from_ == "torch" or own <= group.keys()):
            known = torchs.keys() | (FLAGS if from_ == "torch" else extras).keys()
            if not (group.keys() - known) & _settings(classes):
                found.append(extras)
    if found:
        return found
    raise ValueError(f"a parameter group with the settings {', '.join(group)} is of no class that torch has, too")


def _settings(classes: Iterable[Any]) -> set[str]:
    """All settings of all classes: a key that is none of them is the user's own."""
    return {name for cls in classes for name in cls._arguments.parameters if name != "params"}
