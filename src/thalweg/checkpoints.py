"""What a checkpoint must be to be loaded, what it changes, and its way to torch and back."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from thalweg.codes import SCALE
from thalweg.hyperparameters import plain
from thalweg.small import scales_of, widened

StateDict = Mapping[str, Any]
Groups = Sequence[Mapping[str, Any]]

# torch's switches between its own implementations: what a machine can do, not what a training run has come to.
FLAGS: dict[str, Any] = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
# What a checkpoint does not change: it is of the machine, and any state can be brought into any form.
KEPT = (*FLAGS, "state_dtype")


def matched(taken: StateDict, groups: Groups) -> StateDict:
    """The checkpoint with its parameters in this optimizer's order, where both give their names."""
    if not any("param_names" in saved and "param_names" in own for saved, own in _pairs(taken, groups)):
        return taken
    ordered = []
    for index, (saved, own) in enumerate(_pairs(taken, groups)):
        if "param_names" not in saved or "param_names" not in own:
            ordered.append(saved)
            continue
        lacking = [name for name in own["param_names"] if name not in saved["param_names"]]
        unknown = [name for name in saved["param_names"] if name not in own["param_names"]]
        if lacking or unknown:
            raise ValueError(
                f"the checkpoint's group {index} is of other parameters: it lacks {', '.join(lacking) or 'none'}, "
                f"and has {', '.join(unknown) or 'none'} that this optimizer's group does not have"
            )
        own_names, saved_names = _told_apart(own["param_names"]), _told_apart(saved["param_names"])
        place = dict(zip(saved_names, saved["params"], strict=True))
        if place.keys() != set(own_names):
            raise ValueError(
                f"the checkpoint's group {index} has a name for another number of parameters than this optimizer's"
            )
        names = list(own["param_names"])
        ordered.append({**saved, "params": [place[name] for name in own_names], "param_names": names})
    return {**taken, "param_groups": ordered}


def _told_apart(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with how often it came before: torch lets parameters share one, and then their order says which."""
    seen: Counter[str] = Counter()
    told = []
    for name in names:
        told.append((name, seen[name]))
        seen[name] += 1
    return told


def _pairs(taken: StateDict, groups: Groups) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    # where the numbers differ torch's loader says so
    return list(zip(taken["param_groups"], groups, strict=False))


def check_shapes(taken: StateDict, groups: Groups, names: Iterable[str]) -> None:
    """RuntimeError where a state cannot be its parameter's: before anything is taken over. `names`: the states that are
    shaped as their parameter is."""
    for saved, own in _pairs(taken, groups):
        for index, (place, p) in enumerate(zip(saved["params"], own["params"], strict=False)):
            for name in names:
                held = taken["state"].get(place, {}).get(name)
                if isinstance(held, torch.Tensor) and held.shape != p.shape:
                    called = own["param_names"][index] if "param_names" in own else place
                    raise RuntimeError(
                        f"parameter {called}: state {name!r} has shape {tuple(held.shape)}, its parameter "
                        f"{tuple(p.shape)}: the parameter was resized, or the checkpoint is of another model"
                    )


def check_scales(taken: StateDict, moments: Mapping[str, str]) -> None:
    """RuntimeError where a state that is kept in 8 bits lacks its scales. Of another sharding's the step will tell."""
    for state in taken["state"].values():
        for name in moments.keys() & state.keys():
            if isinstance(state[name], torch.Tensor) and state[name].dtype == torch.uint8:
                scales_of(state, name)


def in_full(taken: StateDict, moments: Mapping[str, str]) -> dict[str, Any]:
    """A checkpoint with all moments in float32."""
    states = {}
    for place, state in taken["state"].items():
        full = {name: widened(state, name, moments[name]) for name in moments if name in state}
        scales = {name + SCALE for name in full}
        states[place] = {name: value for name, value in {**state, **full}.items() if name not in scales}
    groups = [group | ({"state_dtype": "float32"} if "state_dtype" in group else {}) for group in taken["param_groups"]]
    return {**taken, "state": states, "param_groups": groups}


def report_overridden(taken: StateDict, groups: Groups, settings: Iterable[str]) -> None:
    """Warn of the settings that the checkpoint changes. What a scheduler has moved is compared by where it began."""
    changes = []
    for index, (saved, own) in enumerate(_pairs(taken, groups)):
        for name in settings:
            if name not in saved or name in KEPT or (name in ("betas", "momentum") and "base_momentum" in saved):
                continue
            began = f"initial_{name}"
            before = plain(own.get(began, own[name]))
            after = plain(saved.get(began, saved[name]))
            same = before == after or (isinstance(after, (list, tuple)) and tuple(after) == before)
            if not same:
                changes.append(f"{name}={after!r} (was {before!r})" + (f" in group {index}" if index else ""))
    if changes:
        warnings.warn(f"the checkpoint sets {', '.join(changes)}", stacklevel=3)


def convert(state_dict: StateDict, from_: str, to: str, classes: Iterable[Any]) -> dict[str, Any]:
    """A checkpoint of a torch class as one of the class of the same name in `classes`, or the other way; a copy.

    States are the same in both, so it is about settings: those that torch lacks are added at their neutral values, and
    taken out on the way back. Either way and back gives the same checkpoint. ValueError where torch has no words for
    one.
    """
    if {from_, to} != {"torch", "thalweg"}:
        raise ValueError(f"from_={from_!r}, to={to!r}: allowed are 'torch' and 'thalweg', in either order")
    if to == "torch":
        state_dict = in_full(state_dict, {name: kind for cls in classes for name, kind in cls._moments().items()})
    groups = []
    for group in state_dict["param_groups"]:
        extras = _extras(group, classes, from_)
        if from_ == "torch":
            groups.append({**group, **extras})
            continue
        for name, neutral in extras.items():
            if name not in ("rounding", *KEPT) and group[name] != neutral:
                raise ValueError(
                    f"{name}={group[name]!r}: torch's class has no such setting; it can only be {neutral!r}"
                )
        groups.append({name: value for name, value in group.items() if name not in extras})
    if to == "torch":
        for place, state in state_dict["state"].items():
            for name in {"master", "compensation"} & state.keys():
                raise ValueError(
                    f"parameter {place} has a {name!r}, which torch would ignore: take one step with "
                    "rounding='stochastic' or 'nearest' and delete it from the state first"
                )
    state = {place: dict(own) for place, own in state_dict["state"].items()}
    return {**state_dict, "state": state, "param_groups": groups}


def _extras(group: Mapping[str, Any], classes: Iterable[Any], from_: str) -> dict[str, Any]:
    """The settings that only ours has, with their defaults, of the class whose group this is."""
    for cls in classes:
        of_one = [torch.zeros(1, device="cpu")]
        torchs = getattr(torch.optim, cls.__name__)(of_one).defaults
        extras = {name: value for name, value in cls(of_one).defaults.items() if name not in torchs}
        own = extras.keys() - FLAGS.keys()
        if torchs.keys() - FLAGS.keys() <= group.keys() and (from_ == "torch" or own <= group.keys()):
            known = torchs.keys() | (FLAGS if from_ == "torch" else extras).keys()
            if not (group.keys() - known) & _settings(classes):
                return extras
    raise ValueError(f"a parameter group with the settings {', '.join(group)} is of no class that torch has, too")


def _settings(classes: Iterable[Any]) -> set[str]:
    """All settings of all classes: a key that is none of them is the user's own."""
    return {name for cls in classes for name in cls._arguments.parameters if name != "params"}
