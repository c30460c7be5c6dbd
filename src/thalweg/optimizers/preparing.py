"""A parameter before its first step, or before the first since something about it has changed: by which kernel it goes.

Nothing is made and nothing is moved here: what cannot be stepped is refused while all is as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from thalweg import engines
from thalweg.engines.engine import Engine
from thalweg.optimizers.refusals import check
from thalweg.plan.counters import Ages
from thalweg.plan.foreign import ForeignPlan
from thalweg.plan.members import Member
from thalweg.plan.on_device import DevicePlan, QuantizedDevicePlan
from thalweg.plan.plan import Plan
from thalweg.plan.quantized import QuantizedPlan
from thalweg.plan.quantized_matrices import QuantizedMatricesPlan
from thalweg.plan.sparse import RowsPlan
from thalweg.plan.state import counts
from thalweg.rule.definition import Rule
from thalweg.tensors.layout import local
from thalweg.tensors.quantization import Form, form_of
from thalweg.tensors.rounding import HALVES, Rounding, rounding_of
from thalweg.tensors.subclasses import check_memory, ordinary
from thalweg.update.update import Group, Update

Tensor = torch.Tensor


class Precision(NamedTuple):
    """How a parameter and its states are stored."""

    rounding: Rounding
    form: Form  # the states that are kept small

    def counts(self, rule: Rule) -> bool:
        """True where a state holds a step count."""
        return counts(rule, self.rounding, self.form)


class Prepared(NamedTuple):
    """How a parameter is stepped. Those of which all of this is equal are stepped by one launch of a kernel."""

    engine: Engine
    update: Update
    dtype: torch.dtype
    device: torch.device
    precision: Precision
    differentiable: bool
    sparse: int  # the parameter's position, where its gradient has rows, as it is then stepped alone; else -1
    on_device: bool  # step counts and numbers live where the parameter does
    wide: bool  # the gradient's dtype is not that of a 16-bit parameter
    foreign: bool  # the parameter's class has operations of its own

    def plan(self, members: Sequence[Member], ages: Ages) -> Plan:
        """The plan of such parameters, with its kernel built."""
        if self.precision.form:
            plan: Plan = self._quantized()(self.update, self.precision.rounding, members, ages, self.precision.form)
        else:
            plan = self._kind()(self.update, self.precision.rounding, members, ages)
        plan.wide = self.wide
        self.engine.prepare(plan)
        return plan

    def _quantized(self) -> type[QuantizedPlan | QuantizedMatricesPlan]:
        if {*self.update.rule.moments} <= {*self.update.rule.matrices}:
            return QuantizedMatricesPlan
        return QuantizedDevicePlan if self.on_device else QuantizedPlan

    def _kind(self) -> type[Plan]:
        if self.foreign:
            return ForeignPlan
        if self.sparse >= 0:
            return RowsPlan
        return DevicePlan if self.on_device else Plan


def precision_of(p: Tensor, group: Group, update: Update) -> Precision:
    """How a group's settings have a parameter and its states stored."""
    return Precision(rounding_of(p.dtype, group["rounding"]), form_of(update.rule.moments, group["state_dtype"], p))


def prepare(
    place: int, p: Tensor, gradient: Tensor, group: Group, update: Update, engine: str, guarded: bool
) -> Prepared:
    """How a parameter, `place` among all, is stepped. `engine`: by name; `guarded`: the factor of gradients is known on
    the device alone. Raises RuntimeError or ValueError for what cannot be stepped."""
    check_memory(place, local(p), "it")
    check_memory(place, local(gradient), "its gradient")
    check(update, p, gradient, group)
    chosen = engines.choose(
        _able(engine, update.rule, p, gradient), local(p), group["differentiable"], update.cautious, update.rule.directs
    )
    rows = gradient.layout is not torch.strided and update.rule.sparse != "dense"
    return Prepared(
        engine=chosen,
        update=update,
        dtype=p.dtype,
        device=p.device,
        precision=precision_of(p, group, update),
        differentiable=group["differentiable"],
        sparse=place if rows else -1,
        on_device=not rows and chosen.on_device(update, group, guarded),
        wide=p.dtype in HALVES and gradient.dtype != p.dtype,
        foreign=not ordinary(type(local(p))),
    )


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
