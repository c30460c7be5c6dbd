"""The torch face: a `torch.optim.Optimizer` that holds rules, and the plans by which engines step them."""

from __future__ import annotations

import difflib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from typing import Any, ClassVar

import torch
from torch.autograd.graph import increment_version
from torch.optim import optimizer as torch_optimizer

from thalweg import engines
from thalweg.engines.engine import Engine
from thalweg.plan import HALVES, Ages, Plan, Signature, is_flat, laid_like
from thalweg.recipe import Recipe
from thalweg.rule import Rule
from thalweg.stages import SHARED, STAGES

# torch's switches between its own implementations. They are taken, and kept in checkpoints; there is one
# implementation here, so they change nothing.
FLAGS: dict[str, Any] = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}


class Optimizer(torch.optim.Optimizer):
    """What every class of `thalweg.optim` is; made by `thalweg.optimizer(rule)`.

    A drop-in for the torch class of the same name: groups, closures, hooks, schedulers and checkpoints are torch's.
    Two settings come on top: `gradient_scale` (per group) multiplies the gradient before anything else, and `engine`
    (of the optimizer; 'auto', 'reference', 'cpu' or 'cuda') says what steps it.
    """

    rules: ClassVar[tuple[Rule, ...]] = ()
    _switches: ClassVar[tuple[str, ...]] = ()  # the settings that choose between the rules
    _recipes: ClassVar[dict[Any, Recipe]] = {}
    _arguments: ClassVar[inspect.Signature]

    _engine: str = "auto"
    _signature: Signature | None = None
    _plans: list[tuple[Engine, Plan]]

    def __init__(self, params: Iterable[Any], *args: Any, **settings: Any) -> None:
        name = type(self).__name__
        try:
            bound = self._arguments.bind(params, *args, **settings)
        except TypeError as error:
            allowed = ", ".join(list(self._arguments.parameters)[1:])
            raise TypeError(f"{name}: {error}; the settings are {allowed}") from None
        bound.apply_defaults()
        defaults = dict(bound.arguments)
        del defaults["params"]
        self._engine = defaults.pop("engine")
        if self._engine not in engines.NAMES:
            raise ValueError(f"engine={self._engine!r}: allowed are {', '.join(map(repr, engines.NAMES))}")
        self._check(defaults)
        self._plans = []
        super().__init__(params, defaults)
        # Loaded here, so that the first step does not wait for Numba's import (0.6 s).
        on_cpu = any(p.device.type == "cpu" for group in self.param_groups for p in group["params"])
        if self._engine != "auto" or on_cpu:
            engines.load("cpu" if self._engine == "auto" else self._engine)
        self._start_states()

    # -- settings -----------------------------------------------------------------------------------------------

    @classmethod
    def hyperparameters(cls) -> dict[str, Any]:
        """Every setting that has a valid range, by name."""
        return {name: each for rule in reversed(cls.rules) for name, each in rule.hyperparameters.items()} | SHARED

    def _check(self, settings: Mapping[str, Any]) -> None:
        for name, hyperparameter in self.hyperparameters().items():
            hyperparameter.check(settings[name])
        if settings["foreach"] and settings["fused"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if settings["differentiable"]:
            raise ValueError("differentiable=True is not supported: no engine records its own steps for autograd")
        rule = self._rule(settings)
        if rule.decay == "own" and settings["decoupled_weight_decay"]:
            raise ValueError(
                f"{type(self).__name__}: its weight decay is its own; decoupled_weight_decay must be False"
            )
        if rule.check:
            rule.check(settings)

    def _rule(self, settings: Mapping[str, Any]) -> Rule:
        """The last of the rules whose switches are all on."""
        return [rule for rule in self.rules if all(settings[name] for name in rule.when)][-1]

    def _recipe(self, group: Mapping[str, Any]) -> Recipe:
        """What steps a group now. Looked up by the switches that it depends on: this is asked for in every step."""
        key = (
            bool(group["weight_decay"] != 0),
            group["decoupled_weight_decay"],
            group["maximize"],
            bool(group["gradient_scale"] != 1),
            *[bool(group[switch]) for switch in self._switches],
        )
        recipe = self._recipes.get(key)
        if recipe is None:
            rule = self._rule(group)
            stages = tuple(
                stage for stage in STAGES if stage.used(group) and not (rule.decay == "own" and stage.decays)
            )
            recipe = self._recipes[key] = Recipe(rule, stages)
        return recipe

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with settings of its own; ValueError for one that is not allowed or misspelt.

        A group may hold keys of the user's own, as in torch; one that all but spells a setting is taken as a slip.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        for key in param_group.keys() - self.defaults.keys() - {"params"}:
            near = difflib.get_close_matches(key, self.defaults, n=1, cutoff=0.85)
            if near:
                raise ValueError(f"unknown setting {key!r} in a parameter group: did you mean {near[0]!r}?")
        self._check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    # -- the step -----------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient.

        `closure`, where given, is called first, with gradients enabled; its loss is returned.
        """
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or torch._C._autograd._profiler_enabled()
        ):
            return _step_with_hooks(self, *(() if closure is None else (closure,)))
        return self._step(closure)

    # torch wraps `step` for hooks and profiler ranges, at 5 to 20 us a call: more than a small step itself takes.
    # This mark keeps it from doing so; the wrapper is called above where there is something for it to do.
    step.hooked = True  # type: ignore[attr-defined]

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        params = [p for group in self.param_groups for p in group["params"]]
        gradients = [p.grad for p in params]
        recipes = [self._recipe(group) for group in self.param_groups]
        groups = [
            (id(group), len(group["params"]), recipe) for group, recipe in zip(self.param_groups, recipes, strict=True)
        ]
        signature = Signature(params, gradients, self.state, groups)
        if self._signature is None or not signature.same(self._signature):
            self._signature = None
            self._plans = self._make_plans(params, gradients, recipes)
            self._signature = Signature(params, gradients, self.state, groups)  # with the states that were made
        for engine, plan in self._plans:
            plan.refresh(gradients)
            engine.step(plan)
            plan.gradients = []  # not held until the next step: zero_grad() may free them
            increment_version(plan.params)
        return loss

    def _make_plans(
        self, params: list[torch.Tensor], gradients: list[torch.Tensor | None], recipes: list[Recipe]
    ) -> list[tuple[Engine, Plan]]:
        """Bring the states in order, and sort the parameters by the kernel that steps them."""
        group_of = [index for index, group in enumerate(self.param_groups) for _ in group["params"]]
        ages = Ages(len(params), list(dict.fromkeys(name for recipe in recipes for name in recipe.rule.carried)))
        chosen: dict[Any, list[int]] = {}
        for place, (p, g) in enumerate(zip(params, gradients, strict=True)):
            recipe, group = recipes[group_of[place]], self.param_groups[group_of[place]]
            if g is not None:
                if g.layout is not torch.strided and not recipe.rule.sparse:
                    raise RuntimeError(f"{type(self).__name__} ({recipe.rule.name}) does not support sparse gradients")
                engine = engines.choose(self._engine, p)
                chosen.setdefault((engine, recipe, p.dtype, p.device), []).append(place)
                fresh = self._start_state(p, group)
                ages.values[0, place] = 0.0 if fresh else 1.0  # holds for a rule that counts no steps
            if p in self.state and recipe.rule.counts_steps:
                self._share_ages(self.state[p], ages, place)
        plans = []
        for (engine, recipe, _, _), places in chosen.items():
            names = recipe.rule.torch_names.values()
            states = [[self.state[params[place]][name] for name in names] for place in places]
            groups = [self.param_groups[group_of[place]] for place in places]
            plans.append((engine, Plan(recipe, [params[place] for place in places], states, groups, places, ages)))
        return plans

    # -- state --------------------------------------------------------------------------------------------------

    def _start_states(self) -> None:
        """Where a state has a first value of its own, it is there from the start, as in torch (Adagrad)."""
        for group in self.param_groups:
            if self._rule(group).initial:
                for p in group["params"]:
                    self._start_state(p, group)

    def _start_state(self, p: torch.Tensor, group: Mapping[str, Any]) -> bool:
        """Make what is missing of a parameter's state, and lay what is there out as the parameter is.

        True where something was missing.
        """
        rule = self._rule(group)
        if not (rule.states or rule.counts_steps):
            return True
        state = self.state[p]
        dtype = torch.float32 if p.dtype in HALVES else p.dtype
        missing = False
        for letter, name in rule.torch_names.items():
            held = state.get(name)
            if held is None:
                missing = True
                first = float(group[rule.initial[letter]]) if letter in rule.initial else 0.0
                state[name] = torch.full_like(
                    p, complex(first, first) if p.is_complex() else first, dtype=dtype
                ).detach()
            elif held.shape != p.shape:
                raise RuntimeError(
                    f"state {name!r} has shape {tuple(held.shape)}, its parameter {tuple(p.shape)}: "
                    "the parameter was resized, or the checkpoint is of another model"
                )
            elif held.dtype != dtype or held.device != p.device or (held.stride() != p.stride() and is_flat(p)):
                state[name] = laid_like(held, p, dtype)
        if rule.counts_steps:
            for name, first in {"step": 0.0, **rule.carried}.items():
                state.setdefault(name, torch.tensor(first))
        return missing

    @staticmethod
    def _share_ages(state: dict[str, Any], ages: Ages, place: int) -> None:
        """Move a state's step count and carried numbers into the common buffer."""
        for row, name in enumerate(ages.names):
            if name in state:
                ages.values[row, place] = float(state[name])
                state[name] = ages.tensor[row, place]

    # -- checkpoints --------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a checkpoint of this class, or of the torch class of the same name.

        Settings that the checkpoint lacks keep their values here. States are copies, in the dtype that this optimizer
        keeps them in (torch would cast them to the parameter's).
        """
        before, taken = self.param_groups, {}
        # Between the user's hooks: after those that change the checkpoint, before those that look at the result.
        hooks = [
            self.register_load_state_dict_pre_hook(lambda _, given: taken.update(given)),
            self.register_load_state_dict_post_hook(lambda _: self._take_over(taken, before), prepend=True),
        ]
        try:
            super().load_state_dict(state_dict)  # type: ignore[arg-type]
        finally:
            for hook in hooks:
                hook.remove()

    def _take_over(self, taken: Mapping[str, Any], before: list[dict[str, Any]]) -> None:
        """Undo what torch's loader did to the states' dtypes, and keep the settings that it does not know."""
        places = [place for group in taken["param_groups"] for place in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for place, p in zip(places, params, strict=True):
            for name, value in taken["state"].get(place, {}).items():
                if isinstance(value, torch.Tensor):
                    self.state[p][name] = value.detach().to(p.device if value.dim() else "cpu", copy=True)
        for group, old, saved in zip(self.param_groups, before, taken["param_groups"], strict=True):
            group.update({name: old[name] for name in self.defaults if name not in saved})
        self._signature = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_engine": self._engine}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._signature, self._plans = None, []
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)


_step_with_hooks = torch.optim.Optimizer.profile_hook_step(Optimizer._step)


def optimizer(
    *rules: Rule,
    name: str | None = None,
    positional: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> type[Optimizer]:
    """A drop-in optimizer class from one rule, or from several between which settings choose (see `Rule.when`).

    `positional`: the settings that may be given by place, in order; by default all hyperparameters of the rules, then
    `weight_decay`. `defaults`: where the class differs from its rules. `name`: by default the first rule's.

    >>> import torch, thalweg
    >>> from thalweg.rules.sgd import sgd
    >>> Descent = thalweg.optimizer(sgd, name="Descent")
    >>> p = torch.nn.Parameter(torch.ones(2))
    >>> p.grad = torch.tensor([1.0, 2.0])
    >>> Descent([p], lr=0.5).step()
    >>> p.tolist()
    [0.5, 0.0]
    """
    for rule in rules:
        if not isinstance(rule, Rule):
            raise TypeError(f"optimizer(rule): {rule!r} is no Rule; make one with thalweg.Rule(...)")
    if not rules or rules[0].when:
        raise ValueError(
            "optimizer(rule): the first rule is the one chosen when no switch is on, so its `when` is empty"
        )
    name = name or "".join(part.capitalize() for part in rules[0].name.split("_"))
    settings = {name: each.default for rule in reversed(rules) for name, each in rule.hyperparameters.items()}
    switches = {switch: False for rule in rules for switch in rule.when if switch not in settings}
    shared = {name: each.default for name, each in SHARED.items()}
    shared |= {"weight_decay": rules[0].weight_decay, "decoupled_weight_decay": rules[0].decay == "decoupled"}
    every = {**settings, "weight_decay": shared["weight_decay"], **switches, **shared, **FLAGS, "engine": "auto"}
    every |= dict(defaults or {})
    order = positional.split() or list(dict.fromkeys([*settings, "weight_decay"]))
    parameters = [Parameter("params", Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [Parameter(each, Parameter.POSITIONAL_OR_KEYWORD, default=every.pop(each)) for each in order]
    parameters += [Parameter(each, Parameter.KEYWORD_ONLY, default=value) for each, value in every.items()]
    signature = inspect.Signature(parameters)
    module = sys._getframe(1).f_globals.get("__name__", "__main__")  # the caller's: its classes can be pickled
    namespace = {
        "__doc__": _document(name, module, rules),
        "__module__": module,
        "__signature__": signature,
        "_arguments": signature,
        "rules": rules,
        "_switches": tuple(dict.fromkeys(switch for rule in rules for switch in rule.when)),
        "_recipes": {},
    }
    return type(name, (Optimizer,), namespace)


EXAMPLE = """Example:

>>> import torch
>>> from {module} import {name}
>>> p = torch.nn.Parameter(torch.ones(3))
>>> p.grad = torch.ones(3)
>>> {name}([p]).step()
>>> bool((p < 1).all())
True
"""


def _document(name: str, module: str, rules: tuple[Rule, ...]) -> str:
    """The class's docstring: each rule's title, equations, departures and source, and an example."""
    parts = []
    for rule in rules:
        where = f" (with {', '.join(rule.when)})" if rule.when else ""
        text = rule.paper or textwrap.indent(rule.equations, "    ")
        parts.append(
            f"{rule.title}{where}.\n\n{text}\n\nDepartures: {rule.departures or 'none.'}\n\nSource: {rule.source}."
        )
    if module.startswith("thalweg."):
        parts.append(EXAMPLE.format(module=module, name=name))
    return "\n\n".join(parts)
