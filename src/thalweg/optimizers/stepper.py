"""From parameters and gradients to plans, and from plans to a step: made when something has moved, kept until then."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import MutableMapping, Sequence
from functools import partial
from operator import itemgetter, methodcaller
from typing import Any

import torch
from torch.autograd.graph import increment_version

from thalweg import engines
from thalweg.engines.engine import Engine
from thalweg.plan.chunks import Integers
from thalweg.plan.counters import Ages
from thalweg.plan.foreign import ForeignPlan
from thalweg.plan.members import Member, UserTensors
from thalweg.plan.on_device import DevicePlan, QuantizedDevicePlan
from thalweg.plan.plan import Plan
from thalweg.plan.process_groups import Sum
from thalweg.plan.quantized import QuantizedPlan
from thalweg.plan.signature import Signature
from thalweg.plan.sparse import RowsPlan
from thalweg.plan.state import check_complete, counts, share_ages, start
from thalweg.rule.definition import Rule
from thalweg.tensors.layout import check_apart, is_shard, local
from thalweg.tensors.quantization import form_of, wide
from thalweg.tensors.rounding import HALVES, rounding_of
from thalweg.tensors.subclasses import address, adds_by_itself, check_memory, is_fake, ordinary
from thalweg.update.update import Group, Update

Tensor = torch.Tensor
State = MutableMapping[Tensor, dict[str, Any]]
_call = methodcaller("__call__")
_switches = itemgetter("rounding", "state_dtype", "differentiable", "capturable", "fused")  # that choose a plan


class Stepper:
    """Steps some parameters of an optimizer, by the engine of that name."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self._signature: Signature | None = None
        self._plans: list[tuple[Engine, Plan]] = []
        self._begun: list[Tensor] = []  # those that had no state before this step
        self._sharded = False
        self._ordinary = True  # all parameters are plain memory
        self._apart: Any = None  # where parameters were when they were last seen to lie apart

    def step(
        self,
        params: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        groups: Sequence[tuple[Group, int, Update]],
        state: State,
        factor: float | Tensor = 1.0,
        holders: Any = None,
    ) -> None:
        """One step. `groups`: each group with its number of parameters and its recipe; `factor` scales gradients: a
        number, or a guard's verdict on the device; `holders`: the process group that holds the other parameters."""
        guarded = type(factor) is not float and isinstance(factor, Tensor)
        kinds = [(id(group), count, update, guarded, _switches(group)) for group, count, update in groups]
        parts, given = params, gradients
        if self._sharded:
            parts, given = [local(p) for p in params], [None if g is None else local(g) for g in gradients]
        try:
            if self._signature is None or not self._signature.same(
                Signature(parts, given, state, kinds, self._ordinary)
            ):
                _check_not_capturing(params)
                self._signature, self._plans = None, []
                self._sharded = any(map(is_shard, params))
                if self._sharded:
                    parts = [local(p) for p in params]
                    given = [_part(g, p) for g, p in zip(gradients, params, strict=True)]
                self._ordinary = all(ordinary(type(p)) for p in parts)
                members = [(g, update, n) for n, (g, count, update) in enumerate(groups) for _ in range(count)]
                self._plans = self._make_plans(params, gradients, members, state, guarded)
                # with the states that were made
                self._signature = Signature(parts, given, state, kinds, self._ordinary).watched()
            elif self._sharded:
                given = [_part(g, p) for g, p in zip(gradients, params, strict=True)]
            summing = [update.rule for _, _, update in groups if update.rule.summed] if holders is not None else []
            held = UserTensors(params, parts, state, [group for group, _, _ in groups])
            self._run(given, factor, held, Sum(summing[0], holders) if summing else None)
        except BaseException as error:
            self._undo(error, state)
            raise

    def _run(
        self, given: Sequence[Tensor | None], factor: float | Tensor, held: UserTensors, sum_up: Sum | None = None
    ) -> None:
        """One step of all plans. `sum_up`: what a rule adds up is added up over processes."""
        plans = [plan for _, plan in self._plans]
        if (
            type(factor) is not float
            and isinstance(factor, Tensor)
            and not all(isinstance(plan, DevicePlan) for plan in plans)
        ):
            factor, left_out = factor.tolist()  # some of the numbers come from the host
            if left_out:
                self._forget({*self._begun}, held.state)
                for plan in plans:
                    plan.let_go()
                return
        if sum_up is not None:
            sum_up.bring_up([plan.ages for plan in plans])
        for plan in plans:
            plan.hold(held)
            plan.refresh(given)
            plan.advance(factor)
        measured = [plan for plan in plans if plan.update.rule.per_tensor]
        for plan in measured:
            plan.measure()
        summed = _settle(measured, sum_up) if measured or sum_up else []
        self._launch()
        self._begun = []
        for plan in plans:
            plan.close()
            if not plan.differentiable:
                increment_version(plan.select(held.parts))
        if summed:
            summed[0].hand_on({position for plan in summed for position in plan.positions})

    def _launch(self) -> None:
        """Run all kernels and count their steps, in one call of C code from end to end: Python hears of a signal (a
        Control-C, a scheduler's SIGTERM) before it or after it. Kernels that are Python themselves come first."""
        work = []
        for engine, plan in self._plans:
            work += [engine.launch(plan), plan.count]
            if plan.ages.lent:
                plan.owe()
                work.append(partial(deque, map(_call, plan.owed), 0))
        deque(map(_call, work), maxlen=0)

    def _undo(self, error: BaseException, state: State) -> None:
        """Leave nothing of a step that failed. Where some of it was written already, say so."""
        plans = [plan for _, plan in self._plans]
        members = {member.param for plan in plans for member in plan.members}
        left = {member.param for plan in plans for member in plan.uncounted()}
        self._forget({p for p in self._begun if p in left or p not in members}, state)
        for plan in plans:
            plan.let_go()
        if left and any(plan.begun for plan in plans):
            warnings.warn(
                f"{type(error).__name__} cut a step short: {len(members) - len(left)} of {len(members)} parameters "
                "took it and counted it, the others did not; what was being written (one tensor, or the matrices of "
                "Shampoo and SOAP) may be half done",
                RuntimeWarning,
                stacklevel=4,
            )

    def _forget(self, params: set[Tensor], state: State) -> None:
        """Drop the states that a step without effect has made: later they would pass for older ones."""
        for p in params:
            state.pop(p, None)
            self._signature = None
        self._begun = []

    def step_as_before(self, addresses: Integers, groups: Sequence[Group]) -> bool:
        """One more step with the plans of the last, whose gradients are at these addresses; for who knows that nothing
        else has moved or changed its kind. False, and nothing done, where a plan needs more than addresses."""
        if not self._plans or not all(_by_address(engine, plan) for engine, plan in self._plans):
            return False
        for _, plan in self._plans:
            plan.hold(UserTensors((), (), {}, groups))
            plan.aim(addresses)
            plan.advance()
        self._launch()
        for _, plan in self._plans:
            plan.close()
        return True

    def _make_plans(
        self,
        params: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        members: Sequence[tuple[Group, Update, int]],
        state: State,
        guarded: bool,
    ) -> list[tuple[Engine, Plan]]:
        """Bring the states in order, and sort the parameters by the kernel that steps them."""
        stepped = []
        for place, (p, g, (group, update, _)) in enumerate(zip(params, gradients, members, strict=True)):
            if g is not None:  # all are looked at before any state is made
                check_memory(place, local(p), "it")
                check_memory(place, local(g), "its gradient")
                _check(update, p, g, group)
                engine = engines.choose(
                    _able(self.engine, update.rule, p, g), local(p), group["differentiable"], update.cautious,
                    update.rule.directs,
                )  # fmt: skip
                stepped.append((place, engine))
                check_complete(state.get(p) or {}, update.rule)
        self._check_apart([params[place] for place, _ in stepped])
        carried = dict.fromkeys(name for _, update, _ in members for name in update.rule.carried)
        ages, ages_at = Ages(len(params), list(carried)), {}
        ages_on: dict[torch.device, Ages] = {}
        chosen: dict[Any, list[Member]] = {}
        for place, engine in stepped:
            p, (group, update, number) = params[place], members[place]
            storage = rounding_of(p.dtype, group["rounding"])
            if not state.get(p):
                self._begun.append(p)
            own_state = state[p]
            fresh = start(own_state, update.rule, storage, p, group)
            if not own_state:
                del state[p]  # as in torch: checkpoints have no entry where nothing is kept
            g = gradients[place]
            sparse = place if g is not None and g.layout is not torch.strided and update.rule.sparse != "dense" else -1
            form = form_of(update.rule.moments, group["state_dtype"], p)
            on_device = sparse < 0 and engine.on_device(update, group, guarded)
            own_ages = ages
            if on_device:
                own_ages = ages_on.setdefault(p.device, Ages(len(params), list(carried), p.device))
            ages_at[place] = own_ages
            own_ages.tensor[0, place] = 0.0 if fresh else 1.0  # holds for a rule that counts no steps
            wide = p.dtype in HALVES and g is not None and g.dtype != p.dtype
            how = (group["differentiable"], sparse, on_device, form, wide, not ordinary(type(local(p))))
            key = (engine, update, p.dtype, p.device, storage, *how)
            chosen.setdefault(key, []).append(Member(p, own_state, group, place, number))
        for place, p in enumerate(params):
            group, update, _ = members[place]
            form = form_of(update.rule.moments, group["state_dtype"], p)
            if p in state and counts(update.rule, rounding_of(p.dtype, group["rounding"]), form):
                share_ages(state[p], ages_at.get(place, ages), place)
        plans: list[tuple[Engine, Plan]] = []
        for (engine, update, _, device, storage, _, sparse, on_device, form, wide, foreign), own in chosen.items():
            own_ages = ages_on[device] if on_device else ages
            if form:
                plan: Plan = (QuantizedDevicePlan if on_device else QuantizedPlan)(update, storage, own, own_ages, form)
            else:
                plan = _kind(sparse, on_device, foreign)(update, storage, own, own_ages)
            plan.wide = wide
            engine.prepare(plan)
            plans.append((engine, plan))
        return sorted(plans, key=lambda pair: pair[0].name == "cpu")

    def _check_apart(self, params: Sequence[Tensor]) -> None:
        where = [(address(local(p)), p.shape, p.stride()) for p in params]
        if where != self._apart:
            check_apart([local(p) for p in params])
            self._apart = where


def _able(engine: str, rule: Rule, p: Tensor, g: Tensor) -> str:
    """The engine by name; of rows that are no stretches of memory the reference alone."""
    if g.layout is torch.strided or rule.sparse == "dense" or p.is_contiguous():
        return engine
    if engine not in ("auto", "reference"):
        raise ValueError(
            f"engine={engine!r}: a sparse gradient of a parameter with strides {p.stride()}, whose rows only "
            "'reference' takes; or use 'auto'"
        )
    return "reference"


def _kind(sparse: int, on_device: bool, foreign: bool) -> type[Plan]:
    if foreign:
        return ForeignPlan
    if sparse >= 0:
        return RowsPlan
    return DevicePlan if on_device else Plan


def _check_not_capturing(params: Sequence[Tensor]) -> None:
    """Plans look at numbers and make tensors, which a CUDA graph could not repeat."""
    if any(p.is_cuda for p in params) and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "a CUDA graph is capturing the first step, or the first since parameters, gradients, states or settings "
            "changed: take a step before the capture, as torch's documentation of CUDA graphs shows"
        )


def _by_address(engine: Engine, plan: Plan) -> bool:
    """Whether only a kernel looks at the gradients."""
    if engine.name == "reference" or type(plan) is not Plan:
        return False
    return not (plan.update.rule.per_tensor or plan.copies or plan.ages.lent)


def _part(gradient: Tensor | None, param: Tensor) -> Tensor | None:
    """This process's part of a gradient, split as its parameter is."""
    if gradient is None or not is_shard(param):
        return gradient
    whole: Any = gradient
    owner: Any = param
    if whole.placements != owner.placements:
        whole = whole.redistribute(owner.device_mesh, owner.placements)
    return local(whole)


def _check(update: Update, p: Tensor, g: Tensor, group: Group) -> None:
    """What a rule cannot do with a gradient, or a parameter: RuntimeError or ValueError, in torch's words."""
    rule, sparse = update.rule, g.layout is not torch.strided
    if p.is_meta and group["fused"]:
        raise RuntimeError(f"`fused=True` requires all the params to hold numbers: {tuple(p.shape)} is on meta")
    if p.is_inference() and not torch.is_inference_mode_enabled():
        raise RuntimeError(
            f"Inplace update to inference tensor outside InferenceMode is not allowed: a parameter of shape "
            f"{tuple(p.shape)} was made under torch.inference_mode(); give the optimizer a clone of it"
        )
    if not ordinary(type(local(p))):
        _check_class(rule, local(p), sparse, group)
    if update.cautious and (is_shard(p) or (sparse and rule.sparse != "dense")):
        what = "a sharded parameter" if is_shard(p) else "a sparse gradient"
        raise RuntimeError(f"cautious=True counts over whole tensors, which {what} does not show; allowed is False")
    if sparse and not rule.sparse:
        raise RuntimeError(
            f"{rule.name} does not support sparse gradients; SparseAdam, Adagrad and SGD do, or use dense ones"
        )
    if sparse and rule.sparse != "dense" and group["weight_decay"] != 0:
        raise RuntimeError(
            f"weight_decay={group['weight_decay']}: the weight_decay option is not compatible with sparse "
            "gradients, which step only the rows they touch; allowed is 0"
        )
    if group["state_dtype"] != "float32":
        if sparse and rule.sparse != "dense":
            raise RuntimeError(
                f"state_dtype={group['state_dtype']!r} with a sparse gradient: a row shares its scale with others, "
                "which the step must not read; allowed is 'float32'"
            )
        reason = wide(p)
        if reason:
            raise ValueError(f"state_dtype={group['state_dtype']!r}: {reason}")
    if rule.sparse == "only" and not sparse:
        raise RuntimeError(f"{rule.name} does not support dense gradients, please consider Adam instead")
    if rule.matrices and group["differentiable"]:
        raise RuntimeError(
            f"{rule.name} writes its matrices in place, where autograd cannot follow: differentiable=True"
        )
    if rule.matrices and (p.is_complex() or (is_shard(p) and not rule.stacks)):
        what = "complex" if p.is_complex() else "sharded"
        raise RuntimeError(f"{rule.name} works on whole real matrices: a {what} parameter is not supported")


def _check_class(rule: Rule, p: Tensor, sparse: bool, group: Group) -> None:
    """RuntimeError for what cannot be done through a class's own operations."""
    reason = None
    if group["differentiable"]:
        reason = "differentiable=True records steps in torch's operations"
    elif sparse and rule.sparse != "dense":
        reason = "a sparse gradient steps rows, by their place in memory"
    elif rule.per_tensor and is_fake(p):
        reason = f"{rule.name} measures numbers, of which it has none"
    elif adds_by_itself(p) and "p" in rule.initial.values():
        reason = f"{rule.name} keeps a copy of the parameter, and goes on straight lines between the two"
    if reason:
        raise RuntimeError(f"a parameter of class {type(p).__name__}, which has operations of its own: {reason}")


def _settle(plans: Sequence[Plan], sum_up: Sum | None) -> list[Plan]:
    """Numbers measured on tensors go to their own rows, or, where the rule adds them up, their sum to all; the plans of
    such rules."""
    summed = [plan for plan in plans if plan.update.rule.summed]
    measured = [numbers for plan in summed for numbers in plan.measured]
    sums = {name: sum(numbers[name] for numbers in measured) for name in (measured[0] if measured else ())}
    if sum_up is not None:
        sums = sum_up.over_all(sums)
    for plan in plans:
        plan.settle([sums] * len(plan.positions) if plan.update.rule.summed else plan.measured)
    return summed
