"""What a checkpoint must be to be loaded: of these parameters, with allowed settings and whole states."""

from __future__ import annotations

import inspect
import math
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, get_args

import torch

from thalweg.plan.quantized import check_scales
from thalweg.plan.state import ESTIMATE, is_projected, lacking
from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import is_number, plain
from thalweg.tensors.quantization import form_of
from thalweg.tensors.rounding import rounding_of
from thalweg.update.transforms import SHARED

StateDict = Mapping[str, Any]
Group = Mapping[str, Any]
Groups = Sequence[Group]
UserTensors = tuple[str, Any, dict[str, Any], torch.Tensor]

# torch's switches between its own implementations: what a machine can do, not what a training run has come to.
FLAGS: dict[str, Any] = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
# What a checkpoint does not change: it is of the machine, and any state can be brought into any form.
KEPT = (*FLAGS, "state_dtype")
Incomplete = Literal["refuse", "restart"]
INCOMPLETE = get_args(Incomplete)
# What torch's wrappers put into the names of what they wrap: compile, DDP, activation checkpoints, FSDP.
WRAPPERS = ("_orig_mod", "module", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")


def pairs(taken: StateDict, groups: Groups) -> list[tuple[Group, Group]]:
    """The checkpoint's groups beside the optimizer's. Where the numbers differ torch's loader says so."""
    return list(zip(taken["param_groups"], groups, strict=False))


# -- parameters -----------------------------------------------------------------------------------------------------


def matched(taken: StateDict, groups: Groups) -> StateDict:
    """The checkpoint with its parameters in this optimizer's order, where both give their names."""
    if not any("param_names" in saved and "param_names" in own for saved, own in pairs(taken, groups)):
        return taken
    ordered = []
    for index, (saved, own) in enumerate(pairs(taken, groups)):
        if "param_names" not in saved or "param_names" not in own:
            ordered.append(saved)
            continue
        own_names, saved_names = _comparable(own["param_names"], saved["param_names"])
        missing = [name for name in own_names if name not in saved_names]
        unknown = [name for name in saved_names if name not in own_names]
        if missing or unknown:
            raise ValueError(
                f"the checkpoint's group {index} is of other parameters: it lacks {', '.join(missing) or 'none'}, "
                f"and has {', '.join(unknown) or 'none'} that this optimizer's group does not have"
            )
        own_places = _numbered(own_names)
        place = dict(zip(_numbered(saved_names), saved["params"], strict=True))
        if place.keys() != set(own_places):
            raise ValueError(
                f"the checkpoint's group {index} has a name for another number of parameters than this optimizer's"
            )
        names = list(own["param_names"])
        ordered.append({**saved, "params": [place[name] for name in own_places], "param_names": names})
    return {**taken, "param_groups": ordered}


def _comparable(own: Sequence[str], saved: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The names on both sides, without those of wrappers where they differ in these alone.

    A module of the user's may be called `module`: names that would fall together keep what tells them apart.
    """
    if set(own) == set(saved):
        return own, saved
    bare = [[_unwrapped(name) for name in names] for names in (own, saved)]
    distinct = all(len(set(short)) == len(set(names)) for short, names in zip(bare, (own, saved), strict=True))
    return (bare[0], bare[1]) if distinct else (own, saved)


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with how often it came before: torch lets parameters share one, and then their order says which."""
    seen: Counter[str] = Counter()
    told = []
    for name in names:
        told.append((name, seen[name]))
        seen[name] += 1
    return told


# -- settings -------------------------------------------------------------------------------------------------------


def merged(saved: Group, own: Group) -> dict[str, Any]:
    """A group's settings as they are once the checkpoint is loaded."""
    return {**own, **{name: value for name, value in saved.items() if name not in KEPT}}


def settled(taken: StateDict, settle: Callable[[dict[str, Any]], None]) -> StateDict:
    """The checkpoint with Python's own values in place of other libraries'."""
    groups = [dict(group) for group in taken["param_groups"]]
    for group in groups:
        settle(group)
    return {**taken, "param_groups": groups}


def check_settings(taken: StateDict, groups: Groups, check: Callable[[Group], None]) -> None:
    """ValueError for settings that the constructor would not take, also where they are not taken over."""
    small = SHARED["state_dtype"]
    for index, (saved, own) in enumerate(pairs(taken, groups)):
        try:
            small.check(saved.get("state_dtype", small.default))
            check(merged(saved, own))
        except (ValueError, RuntimeError) as error:
            raise type(error)(f"the checkpoint's group {index}: {error}") from None


def foreign(saved: Group, own: Group, rules: Sequence[Rule], name: str) -> tuple[list[str], list[str]]:
    """The settings by which a group is seen to be another optimizer's, and those of this one that it lacks; none where
    it may be of this one. `name`: the class, whose namesake in torch lacks what only we have."""
    needed = dict.fromkeys(setting for rule in rules for setting in (*rule.hyperparameters, *rule.when))
    namesake = getattr(torch.optim, name, None)
    known = inspect.signature(namesake).parameters if namesake else needed
    absent = [setting for setting in needed if setting in known and setting not in saved]
    others = [setting for setting in saved if setting in _torch_settings() and setting not in own]
    return (others, absent) if others and absent else ([], [])


@cache
def _torch_settings() -> frozenset[str]:
    """All settings of torch's classes. What else a group has beyond this optimizer's settings is the user's own."""
    classes = [each for each in vars(torch.optim).values() if inspect.isclass(each)]
    found = {
        name for cls in classes if issubclass(cls, torch.optim.Optimizer) for name in inspect.signature(cls).parameters
    }
    return frozenset(found - {"params"})


def report_overridden(taken: StateDict, groups: Groups, settings: Callable[[Group], Iterable[str]]) -> None:
    """Warn of the settings that the checkpoint changes. What a scheduler has moved is compared by where it began."""
    changes = []
    for index, (saved, own) in enumerate(pairs(taken, groups)):
        for name in settings(own):
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


# -- states ---------------------------------------------------------------------------------------------------------


def states(taken: StateDict, group: Group, own: Group) -> Iterator[UserTensors]:
    """Each parameter that has a state: its name in words, its place in the checkpoint, its state, itself. A value that
    is None is none."""
    for index, (place, p) in enumerate(zip(group["params"], own["params"], strict=False)):
        state = {name: value for name, value in (taken["state"].get(place) or {}).items() if value is not None}
        if state:
            yield f"parameter {own['param_names'][index] if 'param_names' in own else place}", place, state, p


def check_shapes(taken: StateDict, groups: Groups, names: Collection[str]) -> None:
    """RuntimeError where a state cannot be its parameter's: before anything is taken over. `names`: the states that are
    shaped as their parameter is. Where gradients are projected, what they are of is known at the step alone."""
    for saved, own in pairs(taken, groups):
        for called, _, state, p in states(taken, saved, own):
            for name in names:
                held = state.get(name)
                if is_projected(held, p, own) or is_projected(held, p, saved):
                    continue
                if isinstance(held, torch.Tensor) and held.shape != p.shape:
                    raise RuntimeError(
                        f"{called}: state {name!r} has shape {tuple(held.shape)}, its parameter "
                        f"{tuple(p.shape)}: the parameter was resized, or the checkpoint is of another model"
                    )


def check_keys(taken: StateDict) -> None:
    """ValueError for states that no parameter would be given."""
    places = {place for group in taken["param_groups"] for place in group["params"]}
    texts = [key for key in taken["state"] if isinstance(key, str) and key not in places and key.isdecimal()]
    if texts:
        raise ValueError(
            f"the checkpoint's states have keys of text, such as {texts[0]!r}; must be whole numbers, as in its groups "
            "(JSON makes text of them)"
        )


def _no_state(rule: Rule, called: str, state: Mapping[str, Any]) -> ValueError | None:
    """What of a parameter's state cannot be one: a count below 0, a word in place of numbers."""
    for name in {*rule.torch_names.values()} & state.keys():
        if not isinstance(state[name], torch.Tensor):
            return ValueError(f"{called}: state {name!r} is {state[name]!r:.40}; must be a tensor")
    count = state.get("step", 0)
    if isinstance(count, torch.Tensor):
        count = 0 if count.is_meta else plain(count) if count.numel() == 1 else count
    if not is_number(count) or not 0 <= count < math.inf:
        return ValueError(f"{called}: state 'step' is {count!r:.40}; must be a number of steps, 0 or more")
    return None


class StateCheck:
    """Looks whether the states of a checkpoint are whole, for a class of these rules.

    A parameter without any state is one that was never stepped: frozen, or late. One that has a state has all of it,
    but for two things. What a setting that was switched on after the last step adds (`amsgrad`, momentum, master
    weights) is missing where a parameter has not been stepped since: that is told, and begins at the next step, as it
    would have without the checkpoint.
    """

    def __init__(self, rules_of: Callable[[Group], Sequence[Rule]], name: str, moments: Mapping[str, str]) -> None:
        self.rules_of, self.name, self.moments = rules_of, name, moments

    def check(self, taken: StateDict, groups: Groups, rule_of: Callable[[Group], Rule], restart: bool) -> StateDict:
        """The checkpoint; ValueError or RuntimeError for the first parameter whose state is not whole, or, with
        `restart`, without the states that are not."""
        left_out, kept_groups = set(), list(taken["param_groups"])
        check_keys(taken)
        for index, (saved, own) in enumerate(pairs(taken, groups)):
            rules = self.rules_of(merged(saved, own))
            others, absent = foreign(saved, own, rules, self.name)
            if others and not restart:
                raise ValueError(
                    f"the checkpoint's group {index} is another optimizer's: it has {', '.join(others)}, and lacks "
                    f"{', '.join(absent)}, which {self.name} has; {ANEW}"
                )
            kept_groups[index] = {name: value for name, value in saved.items() if name not in others}
            rule, held = rule_of(merged(saved, own)), list(states(taken, saved, own))
            found = ((place, _no_state(rule, called, state)) for called, place, state, _ in held)
            odd: dict[str, Exception] = {place: each for place, each in found if each is not None}
            anew = self._anew(rule, rules[0], saved, [each for each in held if each[1] not in odd])
            for called, place, state, p in held:
                fault = odd.get(place) or self._fault(rule, anew[place], saved, merged(saved, own), called, state, p)
                if fault is not None and not restart:
                    raise fault
                if fault is not None:
                    left_out.add(place)
            late = [place for place, names in anew.items() if names and place not in left_out]
            if late:
                names = sorted({name for place in late for name in anew[place]})
                warnings.warn(
                    f"{len(late)} of {len(held)} states of group {index} have no {', '.join(names)}, for which its "
                    "settings ask: there it starts anew, as where such a setting is switched on between two steps",
                    stacklevel=5,
                )
        whole = {place: state for place, state in taken["state"].items() if place not in left_out}
        return {**taken, "state": whole, "param_groups": kept_groups}

    def _anew(self, rule: Rule, plainest: Rule, saved: Group, held: Sequence[UserTensors]) -> dict[str, set[str]]:
        """What each parameter's state lacks of what a setting has added that was switched on after its last step. One
        that was stepped as often as another that has it did not stand still: its state was cut."""
        switched = set(rule.torch_names.values()) - set(plainest.torch_names.values())
        counted = rule.counts_steps  # else the count is of rounding, and stands still where that needs none
        counts = {place: float(state.get("step", math.nan)) if counted else math.nan for _, place, state, _ in held}
        having: dict[str, set[float]] = {}
        for _, place, state, _ in held:
            for name in state:
                having.setdefault(name, set()).add(counts[place])
        return {
            place: {
                name
                for name in {*switched, _rounding_state(saved, p)} - {"", *state}
                if math.isnan(counts[place]) or counts[place] not in having.get(name, ())
            }
            for _, place, state, p in held
        }

    def _fault(
        self,
        rule: Rule,
        anew: set[str],
        saved: Group,
        own: Group,
        called: str,
        state: Mapping[str, Any],
        p: torch.Tensor,
    ) -> Exception | None:
        if state.keys() == {ESTIMATE}:
            return None
        absent = [name for name in lacking(state, rule, p, own, _rounding_state(saved, p)) if name not in anew]
        if absent:
            has = ", ".join(state)
            return ValueError(f"the checkpoint's state of {called} lacks {', '.join(absent)} (it has {has}); {ANEW}")
        for name in [name for name in self.moments if name in state]:
            try:
                check_scales(state, name)
            except RuntimeError as error:
                return RuntimeError(f"{called}: {error}")
            if _read_into_floats(rule, saved, name, state[name], p):
                return RuntimeError(
                    f"{called}: state {name!r} has codes of 8 bits that were copied into {state[name].dtype} as if "
                    "they were its numbers: load into an optimizer with state_dtype='int8', or save "
                    "optimizer.full_state_dict(), which goes anywhere"
                )
        return None


def _rounding_state(saved: Group, p: torch.Tensor) -> str:
    """What the checkpoint's rounding keeps beside a parameter; torch's has no such setting."""
    return rounding_of(p.dtype, saved["rounding"]).kept if "rounding" in saved else ""


ANEW = "it was cut, or written by another optimizer: load_state_dict(..., incomplete='restart') begins such states anew"


def _read_into_floats(rule: Rule, saved: Group, name: str, held: Any, p: torch.Tensor) -> bool:
    """True where the checkpoint says that a state is codes, and it is floating-point numbers that look like codes."""
    if saved.get("state_dtype") != "int8" or not isinstance(held, torch.Tensor) or not held.is_floating_point():
        return False
    eight = {rule.torch_names[letter] for letter, code in form_of(rule.moments, "int8", p) if code.window}
    if name not in eight or not held.numel():
        return False
    part = getattr(held, "_local_tensor", held)
    return bool(((part == part.round()) & (part >= 0) & (part <= 255)).all() & (part > 0).any())
