"""The definition of right: the rule's own functions on torch tensors, one parameter at a time, on any device and dtype.

float16 and bfloat16 parameters are stepped in float32 arithmetic with float32 state and rounded once, at the end.
"""

from __future__ import annotations

import torch

from thalweg.engines.engine import Engine
from thalweg.plan import HALVES, Plan, real


class Reference(Engine):
    """Plain torch operations."""

    name = "reference"

    def refusal(self, param: torch.Tensor) -> str | None:
        if param.device.type == "meta":
            return "a parameter on the meta device holds no numbers; materialise the model first"
        return None

    @torch.no_grad()
    def step(self, plan: Plan) -> None:
        rows = plan.advance()
        for index, param in enumerate(plan.params):
            states = [real(state) for state in plan.states[index]]
            tensors = [real(param), real(plan.gradients[index]), *states]
            if tensors[0].dtype in HALVES:
                tensors = [tensor.float() for tensor in tensors]
            p, g, *held = tensors
            *stages, rule = zip(plan.recipe.elements(), rows[plan.row_of[index]], strict=True)
            for (function, names), numbers in stages:
                p, g = function(p, g, **{name: numbers[name] for name in names})
            (function, names), numbers = rule
            result = function(p, g, *held, **{name: numbers[name] for name in names})
            p, *held = result if held else (result,)
            real(param).copy_(p)
            for state, new in zip(states, held, strict=True):
                state.copy_(new)


ENGINE = Reference()
