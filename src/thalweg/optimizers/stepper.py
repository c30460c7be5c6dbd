"""From parameters and gradients to plans, and from plans to a step: made when something has moved, kept until then."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Mapping, MutableMapping, Sequence
from functools import partial
from operator import itemgetter, methodcaller
from typing import Any

import torch
from torch.autograd.graph import increment_version

from thalweg.engines.engine import Engine
from thalweg.optimizers.preparing import Prepared, precision_of, prepare
from thalweg.optimizers.refusals import check_not_capturing
from thalweg.plan.chunks import Integers
from thalweg.plan.counters import Ages
from thalweg.plan.members import Member, UserTensors
from thalweg.plan.on_device import DevicePlan
from thalweg.plan.plan import Plan
from thalweg.plan.process_groups import Sum
from thalweg.plan.signature import Signature
from thalweg.plan.state import check_complete, share_ages, start
from thalweg.rule.hyperparameters import OneOf
from thalweg.tensors.layout import check_apart, is_shard, local
from thalweg.tensors.subclasses import address, ordinary
from thalweg.update.transforms import SHARED
from thalweg.update.update import Group, Update

Tensor = torch.Tensor
State = MutableMapping[Tensor, dict[str, Any]]
_call = methodcaller("__call__")
_SHARED_WORDS = [name for name, each in SHARED.items() if isinstance(each.rule, OneOf)]
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
                check_not_capturing(params)
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
        for engine, plan in self._plans:
            if plan.update.rule.per_tensor:
                engine.measure(plan)
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
            whole = sorted({plan.update.rule.name for plan in plans if plan.begun and plan.update.rule.matrices})
            matrices = f", and the matrices of {' and '.join(whole)} of any that did not," if whole else ""
            warnings.warn(
                f"{type(error).__name__} cut a step short: {len(members) - len(left)} of {len(members)} parameters "
                f"took it and counted it, the others did not; the tensor that was being written{matrices} may have "
                "moved, in whole or in part",
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
        prepared: dict[int, Prepared] = {}
        for group in {number: group for group, _, number in members}.values():
            for name in _SHARED_WORDS:
                SHARED[name].check(group[name])
        for place, (p, g, (group, update, _)) in enumerate(zip(params, gradients, members, strict=True)):
            if g is not None:  # all are looked at before any state is made
                prepared[place] = prepare(place, p, g, group, update, self.engine, guarded)
                check_complete(state.get(p) or {}, update.rule, p, group)
        self._check_apart([params[place] for place in prepared])
        carried = list(dict.fromkeys(name for _, update, _ in members for name in update.rule.carried))
        ages: dict[torch.device | None, Ages] = {None: Ages(len(params), carried)}  # the host's, and devices' own
        alike: dict[Prepared, list[Member]] = {}
        for place, one in prepared.items():
            if one.on_device and one.device not in ages:
                ages[one.device] = Ages(len(params), carried, one.device)
            group, _, number = members[place]
            member, fresh = self._begin(params[place], one, group, place, number, state)
            _ages(ages, one).tensor[0, place] = 0.0 if fresh else 1.0  # holds for a rule that counts no steps
            alike.setdefault(one, []).append(member)
        for place, (p, (group, update, _)) in enumerate(zip(params, members, strict=True)):
            stepped = prepared.get(place)
            precision = stepped.precision if stepped else precision_of(p, group, update)
            if p in state and precision.counts(update.rule):
                share_ages(state[p], _ages(ages, stepped), place)
        plans = [(one.engine, one.plan(own, _ages(ages, one))) for one, own in alike.items()]
        return sorted(plans, key=lambda pair: pair[0].name == "cpu")

    def _begin(
        self, p: Tensor, prepared: Prepared, group: Group, place: int, number: int, state: State
    ) -> tuple[Member, bool]:
        """Make what is missing of a parameter's state; whether a state of the rule was missing."""
        if not state.get(p):
            self._begun.append(p)
        own = state[p]
        fresh = start(own, prepared.update.rule, prepared.precision.rounding, p, group)
        if not own:
            del state[p]  # as in torch: checkpoints have no entry where nothing is kept
        return Member(p, own, group, place, number), fresh

    def _check_apart(self, params: Sequence[Tensor]) -> None:
        where = [(address(local(p)), p.shape, p.stride()) for p in params]
        if where != self._apart:
            check_apart([local(p) for p in params])
            self._apart = where


def _ages(ages: Mapping[torch.device | None, Ages], prepared: Prepared | None) -> Ages:
    """Where a parameter's step count lies."""
    return ages[prepared.device if prepared is not None and prepared.on_device else None]


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
