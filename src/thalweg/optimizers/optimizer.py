"""The torch face: a `torch.optim.Optimizer` that holds rules, and the plans by which engines step them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, ClassVar

import torch
from torch._compile import _disable_dynamo

from thalweg import engines
from thalweg.optimizers import checkpoints, hooks, loading
from thalweg.optimizers.clipping import Clipping
from thalweg.optimizers.dynamo import outside_dynamo
from thalweg.optimizers.loading import KEPT, StateDict
from thalweg.optimizers.stepper import Stepper
from thalweg.plan.process_groups import group_of_maker, is_flattened
from thalweg.plan.state import start
from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import ON_OFF, slip
from thalweg.tensors.quantization import wide
from thalweg.tensors.rounding import rounding_of
from thalweg.update.transforms import SHARED, transforms_of
from thalweg.update.update import Update

# The settings that are of the optimizer, not of a group.
OF_THE_OPTIMIZER: dict[str, Any] = {"clip_norm": None, "on_nonfinite": "propagate", "engine": "auto"}
FSDP2 = "use FSDP2 (torch.distributed.fsdp.fully_shard)"

_CHOOSING = itemgetter("weight_decay", "gradient_scale", "decoupled_weight_decay", "maximize", "cautious")

_add_param_group = outside_dynamo(torch.optim.Optimizer.add_param_group)


class Optimizer(torch.optim.Optimizer):
    """What every class of `thalweg.optim` is; made by `thalweg.optimizer(rule)`.

    A drop-in for the torch class of the same name: groups, closures, hooks, schedulers and checkpoints are torch's.
    On top come, for a group: `gradient_scale`, which multiplies the gradient before anything else; `rounding`, which
    says how float16 and bfloat16 parameters keep small steps (`thalweg.tensors.rounding`); `state_dtype`, which keeps
    moments in 8 or 16 bits (`thalweg.tensors.quantization`); and `cautious`, which leaves out what a step would do
    against the gradient (`thalweg.update.cautious`). For the optimizer: `clip_norm` and `on_nonfinite`
    (`thalweg.optimizers.clipping`; `optimizer.guard` has the counters), and `engine` ('auto', 'reference', 'cpu' or
    'cuda').
    """

    rules: ClassVar[tuple[Rule, ...]] = ()
    _switches: ClassVar[tuple[str, ...]] = ()  # the settings of rules that choose between them
    _on_off: ClassVar[tuple[str, ...]] = ()  # those that do nothing else
    _updates: ClassVar[dict[Any, Update]] = {}
    _arguments: ClassVar[inspect.Signature]
    example: ClassVar[str] = "p.grad = torch.ones(3)"  # how a gradient comes about, in the classes' docstrings
    second_order: ClassVar[bool] = False  # True where a step needs `loss.backward(create_graph=True)`
    _beside: ClassVar[tuple[str, ...]] = ("master", "compensation")  # what a state may hold that is not a rule's

    guard: Clipping
    _engine: str = "auto"
    _stepper: Stepper

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
        of_all = {setting: defaults.pop(setting) for setting in OF_THE_OPTIMIZER}
        self._settle(defaults)
        self._check(defaults)
        self._equip(params, defaults, **of_all)

    def _equip(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        clip_norm: float | None,
        on_nonfinite: str,
        engine: str,
    ) -> None:
        """The one door: what every optimizer has, whatever its rules are."""
        if engine not in engines.NAMES:
            raise ValueError(f"engine={engine!r}: allowed are {', '.join(map(repr, engines.NAMES))}")
        self._engine = engine
        self.guard = Clipping(clip_norm, on_nonfinite, group_of_maker())
        self._stepper = Stepper(engine)
        super().__init__(params, defaults)
        # Loaded here, so that the first step does not wait for Numba's import (0.6 s).
        for device in {p.device for group in self.param_groups for p in group["params"]}:
            engines.ready(engine, device)
        self._start_states()

    @classmethod
    def __subclasses__(cls) -> list[type[Optimizer]]:
        """Without the classes of this package that have the name of one of torch's.

        Command lines (jsonargparse, LightningCLI) look here for what a short name may mean. With two of one name they
        would refuse `--optimizer=AdamW`, which was torch's until this package was imported, and is so still.
        """
        found = type.__subclasses__(cls)
        return [each for each in found if each.__module__ != "thalweg.optim" or not hasattr(torch.optim, each.__name__)]

    @classmethod
    def hyperparameters(cls) -> dict[str, Any]:
        """Every setting that has a valid range, by name."""
        return {name: each for rule in reversed(cls.rules) for name, each in rule.hyperparameters.items()} | SHARED

    def _settle(self, settings: dict[str, Any]) -> None:
        """Put Python's own values in place of other libraries' (arrays, lists of a configuration)."""
        for name, hyperparameter in self.hyperparameters().items():
            if name in settings:
                settings[name] = hyperparameter.settle(settings[name])

    def _check(self, settings: Mapping[str, Any]) -> None:
        ranges: dict[str, Any] = {name: each.rule for name, each in self.hyperparameters().items()}
        for name, allowed in (ranges | dict.fromkeys(self._on_off, ON_OFF)).items():
            allowed.check(name, settings[name])
        if settings["foreach"] and settings["fused"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if settings["fused"] and settings["differentiable"]:
            raise RuntimeError("`fused` does not support `differentiable`")
        rule = self._rule(settings)
        if rule.decay == "own" and settings["decoupled_weight_decay"]:
            raise ValueError(
                f"decoupled_weight_decay=True: {rule.name} has a weight decay of its own; allowed is False"
            )
        small = settings["state_dtype"]
        if small != "float32" and not rule.moments:
            raise ValueError(
                f"state_dtype={small!r}: {rule.name} has no state that may be kept small; allowed is 'float32'"
            )
        if small != "float32" and settings["differentiable"]:
            raise ValueError(
                f"state_dtype={small!r} with differentiable=True: autograd cannot follow stochastic rounding"
            )
        for each in self.rules:
            # By its own switch, the last: Nesterov's momentum without momentum is a slip, not gradient descent.
            if each.check and all(settings[switch] for switch in each.when[-1:]):
                each.check(settings)

    def _rule(self, settings: Mapping[str, Any]) -> Rule:
        """The last of the rules whose switches are all on."""
        return [rule for rule in self.rules if all(settings[name] for name in rule.when)][-1]

    def _rules_of(self, group: Mapping[str, Any]) -> Sequence[Rule]:
        """The rules between which a group's settings choose."""
        return self.rules

    def _settings_of(self, group: Mapping[str, Any]) -> Sequence[str]:
        """The settings of a group that have a valid range."""
        return list(self.hyperparameters())

    def _kept_in(self, group: Mapping[str, Any]) -> Sequence[str]:
        """The keys of a group that it keeps where a checkpoint lacks them."""
        return list(self.defaults)

    def _update(self, group: Mapping[str, Any], scaled: bool = False) -> Update:
        """What steps a group now. Looked up by the switches that it depends on: this is asked for in every step."""
        decay, scale, *others = _CHOOSING(group)
        own = [True if group[switch] else False for switch in self._switches]  # noqa: SIM210 (a third of bool()'s time)
        own += [group[switch] for switch in self._on_off]
        key = (scaled, True if decay != 0 else False, True if scale != 1 else False, *others, *own)  # noqa: SIM210
        update = self._updates.get(key)
        if update is None:
            for switch in self._on_off:
                ON_OFF.check(switch, group[switch])
            rule = self._rule(group)
            update = self._updates[key] = Update(rule, transforms_of(rule, group, scaled), group["cautious"])
        return update

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with settings of its own; ValueError for one that is not allowed or misspelt.

        A group may hold keys of the user's own, as in torch; one that all but spells a setting is taken as a slip.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        known = self._kept_in(param_group)
        for key in param_group.keys() - {*known, "params"}:
            if near := slip(key, known):
                raise ValueError(f"unknown setting {key!r} in a parameter group: did you mean {near!r}?")
        self._settle(param_group)
        self._check({**self.defaults, **param_group})
        _add_param_group(self, param_group)
        for index, p in enumerate(self.param_groups[-1]["params"]):
            reason = self._unfit(f"parameter {index} of the group", p, self.param_groups[-1])
            if reason:
                self.param_groups.pop()
                raise ValueError(reason)
        *others, group = self.param_groups
        if isinstance(group["lr"], torch.Tensor) and any(group["lr"] is each["lr"] for each in others):
            group["lr"] = group["lr"].clone()  # a scheduler writes into it, for this group alone

    def _unfit(self, called: str, p: torch.Tensor, group: Mapping[str, Any]) -> str | None:
        """Why a parameter cannot be stepped with a group's settings; None where it can."""
        rule = self._rule(group)
        if rule.unfit is not None and (reason := rule.unfit(p, group)):
            return f"{reason}; {called} has shape {tuple(p.shape)}"
        small, name = group["state_dtype"], rule.name
        reason = wide(p) if small != "float32" else None
        if reason:
            return f"state_dtype={small!r} for {called}: {reason}"
        if small != "float32" and is_flattened(p):
            return (
                f"state_dtype={small!r} for {called}: it is a piece of FSDP1's, whose checkpoints gather states of the "
                f"parameters' own shapes, of one dtype on all processes; {FSDP2}, or state_dtype='float32'"
            )
        whole = not self.guard.idle or self._rule(group).per_tensor or group["cautious"]
        if whole and is_flattened(p) and torch.distributed.get_world_size() > 1:
            return (
                f"{called} is a piece of FSDP1's, which does not show whole tensors or gradients: {name} with "
                f"clip_norm={self.guard.clip_norm}, on_nonfinite={self.guard.on_nonfinite!r} and "
                f"cautious={group['cautious']} would judge by this process's part alone; {FSDP2}"
            )
        if p.layout is not torch.strided:
            return (
                f"{type(self).__name__} requires dense parameter tensors, and {called} has layout {p.layout}; its "
                "gradient may be sparse"
            )
        return None

    # -- the step -----------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every parameter that has a gradient.

        `closure`, where given, is called first, with gradients enabled; its loss is returned.
        """
        if torch.compiler.is_dynamo_compiling():
            return _step_untraced(self, closure)
        profiled = torch._C._autograd._profiler_enabled()
        if (profiled or hooks.any_hooks(self)) and not _is_wrapped(type(self).step):
            given = () if closure is None else (closure,)
            return _step_with_hooks(self, *given) if profiled else hooks.step_between(self, _step_alone, *given)
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
        gradients: Sequence[torch.Tensor | None] = [p.grad for p in params]
        factor: float | torch.Tensor = 1.0
        scaled, handed = False, self.__dict__.get("grad_scale")  # by a gradient scaler
        if handed is not None or not self.guard.idle or "found_inf" in self.__dict__:
            scaled = handed is not None or self.guard.clip_norm is not None
            scales = [float(group["gradient_scale"]) for group in self.param_groups for _ in group["params"]]
            far = self.guard.group is None and self.guard.on_nonfinite != "raise" and engines.far(self._engine, params)
            look = self.guard.judge if far else self.guard.look
            found = look(gradients, scales, handed, self.__dict__.get("found_inf"))
            gradients, found = self.guard.bring_in(params, gradients, scales, found)
            if found is None:
                return loss
            factor = found
        groups = [(group, len(group["params"]), self._update(group, scaled)) for group in self.param_groups]
        self._stepper.step(params, gradients, groups, self.state, factor, self.guard.group)
        if self.guard.due is not False:
            self.guard.count()
        return loss

    def step_one(self, param: torch.Tensor, stepper: Stepper | None = None) -> Stepper:
        """Step one parameter alone, by a stepper that was given back for it before, where there is one.

        No closure, no hooks, no guard: for who steps parameters as their gradients arrive.
        """
        group = self._group_of(param)
        stepper = stepper or Stepper(self._engine)
        own = {param: self.state[param]} if param in self.state else self.state
        stepper.step([param], [param.grad], [(group, 1, self._update(group))], own)
        return stepper

    def rule_of(self, param: torch.Tensor) -> Rule:
        """The rule that steps a parameter with its group's settings of now; ValueError for one that is in no group."""
        return self._rule(self._group_of(param))

    def _group_of(self, param: torch.Tensor) -> dict[str, Any]:
        for group in self.param_groups:
            if any(p is param for p in group["params"]):
                return group
        raise ValueError(f"a parameter of shape {tuple(param.shape)} is in no group of this optimizer")

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Where `fused` is asked for, a gradient scaler leaves unscaling to the step, as with torch's fused classes."""
        return bool(self.defaults.get("fused"))

    def _start_states(self) -> None:
        """Where a state has a constant first value, it is there from the start, as in torch (Adagrad). A parameter, or
        a rate (Rprop), may still change before the first step."""
        for group in self.param_groups:
            rule = self._rule(group)
            if rule.initial and not {"p", "lr"} & {*rule.initial.values()}:
                for p in group["params"]:
                    start(self.state[p], rule, rounding_of(p.dtype, group["rounding"]), p, group)

    # -- checkpoints --------------------------------------------------------------------------------------------

    def full_state_dict(self) -> dict[str, Any]:
        """`state_dict()` with every moment in float32, as torch has them: for other tools, other shardings, and
        `state_dtype='float32'`. Loaded here, it goes on in 8 or 16 bits from the same numbers."""
        return checkpoints.in_full(self.state_dict(), self._moments())

    @classmethod
    def _moments(cls) -> dict[str, str]:
        """What may be kept small, by its name in the state, and its kind."""
        return {rule.torch_names[letter]: kind for rule in cls.rules for letter, kind in rule.moments.items()}

    zero_grad = outside_dynamo(torch.optim.Optimizer.zero_grad)

    def load_state_dict(self, state_dict: Mapping[str, Any], *, incomplete: loading.Incomplete = "refuse") -> None:
        """Take over a checkpoint of this class, or of the torch class of the same name.

        Where both sides give the parameters' names, these say which is which; what wrappers put into them is no part of
        them. Settings that the checkpoint lacks, `state_dtype`, and torch's switches between implementations keep their
        values here; a warning tells those it changes. States are copies, in the dtype that the checkpoint has them in
        (torch would cast them to the parameter's); the next step brings them into `state_dtype`.

        `incomplete`: what becomes of states of which a part is missing, or whose 8-bit blocks were other elements:
        'refuse', or 'restart', by which those parameters begin anew, as if they had never been stepped.

        Raises ValueError or RuntimeError, with the parameter, where the checkpoint is of another model or optimizer, or
        has settings that the constructor would not take; nothing is taken over then.
        """
        if incomplete not in loading.INCOMPLETE:
            raise ValueError(f"incomplete={incomplete!r}: allowed are {', '.join(map(repr, loading.INCOMPLETE))}")
        before = self.param_groups
        taken: dict[str, Any] = {}

        def look(_: torch.optim.Optimizer, given: StateDict) -> StateDict:
            given = loading.settled(loading.matched(given, before), self._settle)
            loading.check_settings(given, before, self._check)
            names = [rule.torch_names[letter] for rule in self.rules for letter in rule.states]
            loading.check_shapes(given, before, dict.fromkeys([*names, *self._beside]))
            whole = loading.StateCheck(self._rules_of, type(self).__name__, self._moments())
            given = whole.check(given, before, self._rule, incomplete == "restart")
            taken.update(given)
            return given

        # Between the user's hooks: after those that change the checkpoint, before those that look at the result.
        hooks = [
            self.register_load_state_dict_pre_hook(look),  # type: ignore[arg-type]
            self.register_load_state_dict_post_hook(lambda _: self._take_over(taken, before), prepend=True),
        ]
        try:
            super().load_state_dict(state_dict)  # type: ignore[arg-type]
        finally:
            for hook in hooks:
                hook.remove()
        loading.report_overridden(taken, before, self._settings_of)

    def _take_over(self, taken: StateDict, before: list[dict[str, Any]]) -> None:
        """Undo what torch's loader did to the states' dtypes, and keep the settings that it does not know."""
        places = [place for group in taken["param_groups"] for place in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for place, p in zip(places, params, strict=True):
            for name, value in (taken["state"].get(place) or {}).items():
                if isinstance(value, torch.Tensor):
                    self.state[p][name] = value.detach().to(p.device if value.dim() else "cpu", copy=True)
        for group, old, saved in zip(self.param_groups, before, taken["param_groups"], strict=True):
            group.update({name: old[name] for name in self._kept_in(old) if name not in saved or name in KEPT})
        self._stepper = Stepper(self._engine)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_engine": self._engine, "guard": self.guard}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._stepper = Stepper(self._engine)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)


def _step_alone(optimizer: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
    return optimizer._step(closure)  # the subclass's, where it has one


def _is_wrapped(step: Any) -> bool:
    """True for a derived class's step, which torch has wrapped: where it calls up to ours, hooks have run."""
    return getattr(step, "__code__", None) is _step_with_hooks.__code__


_step_with_hooks = torch.optim.Optimizer.profile_hook_step(_step_alone)
# torch.compile, tracing into a step, would run it on copies of the plan's numbers. It is left out of the graph by a
# question rather than a decorator: 20 ns a step against 300.
_step_untraced = _disable_dynamo(Optimizer.step)
