"""The definition of right: the rule's own functions on torch tensors, one parameter at a time, on any device and dtype.

float16 and bfloat16 parameters are stepped in float32 arithmetic with float32 state; how they are rounded is in
`thalweg.tensors.rounding`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from thalweg.engines.engine import Engine
from thalweg.plan.plan import Plan
from thalweg.tensors.autocast import as_written
from thalweg.update.cautious import cautious
from thalweg.update.update import Update

Tensor = torch.Tensor


class Reference(Engine):
    """Plain torch operations."""

    name = "reference"

    def refusal(self, param: torch.Tensor) -> str | None:
        if param.device.type == "meta":
            return "a parameter on the meta device holds no numbers; materialise the model first"
        return None

    def launch(self, plan: Plan) -> Callable[[], object]:
        return partial(self._step, plan)

    def _step(self, plan: Plan) -> None:
        with torch.set_grad_enabled(plan.differentiable), as_written(plan.device):
            for index in range(len(plan.positions)):
                numbers = plan.update.element_numbers(plan.numbers(index))
                p, g, states = plan.read(index)
                if plan.differentiable:  # what autograd saves must outlive the writing below
                    p, states = p.clone(), [state.clone() for state in states]
                made = equations(plan.update, p, g, states, numbers, plan.staged.get(index))
                plan.begun = True
                plan.write(index, *made)
                plan.count_one(index)


def equations(
    update: Update,
    p: Tensor,
    g: Tensor,
    states: Sequence[Tensor],
    numbers: Sequence[Mapping[str, Any]],
    staged: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """What transforms and rule make of one tensor. `staged`: the gradient, where `g` is a direction made of it."""
    *transforms, rule = zip(update.elements(), numbers, strict=True)
    for (function, names), own in transforms:
        p, g = function(p, g, **{name: own[name] for name in names})
    (function, names), own = rule
    result = function(p, g, *states, **{name: own[name] for name in names})
    new, *held = result if states else (result,)
    if update.cautious:
        new = cautious(p, new, g if staged is None else staged)
    return new, held


ENGINE = Reference()
