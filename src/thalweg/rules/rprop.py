r"""Rprop: only the gradient's sign counts; each coordinate's step grows while the sign lasts and shrinks when it turns.

g_t g_{t-1} > 0:  d_t = min(eta_plus d_{t-1}, d_max)
g_t g_{t-1} < 0:  d_t = max(eta_minus d_{t-1}, d_min),   g_t <- 0
else:             d_t = d_{t-1}
theta_t = theta_{t-1} - d_t sign(g_t),   d_0 = lr
"""

from collections.abc import Mapping
from typing import Annotated, Any

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Rate, Search, Valid
from thalweg.rule.words import maximum, minimum, sign, where


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-2,
    etas: Annotated[tuple[float, float], Valid("Invalid eta values", count=2)] = (0.5, 1.2),
    step_sizes: Annotated[tuple[float, float], Valid("Invalid step_sizes values", count=2)] = (1e-6, 50),
):
    shrink, grow = etas
    smallest, largest = step_sizes
    return {"shrink": shrink, "grow": grow, "smallest": smallest, "largest": largest}


def per_element(p, g, prev, d, *, shrink, grow, smallest, largest):
    agreement = g * prev
    d = where(agreement > 0.0, grow * d, where(agreement < 0.0, shrink * d, d))
    d = minimum(maximum(d, smallest), largest)
    prev = where(agreement < 0.0, 0.0, g)
    p = p - d * sign(prev)
    return p, prev, d


def check(settings: Mapping[str, Any]) -> None:
    shrink, grow = settings["etas"]
    if not 0 < shrink < 1 < grow:
        raise ValueError(f"Invalid eta values: {shrink!r}, {grow!r} (must be 0 < etas[0] < 1 < etas[1])")
    smallest, largest = settings["step_sizes"]
    if smallest > largest:
        raise ValueError(
            f"Invalid step_sizes values: {smallest!r}, {largest!r} (must be 0 <= step_sizes[0] <= step_sizes[1])"
        )


rprop = Rule(
    name="rprop",
    title="Rprop: steps by the gradient's sign alone",
    source="Riedmiller and Braun 1993, IEEE International Conference on Neural Networks",
    per_step=per_step,
    per_element=per_element,
    torch_names={"d": "step_size"},
    initial={"d": "lr"},
    check=check,
    departures="torch's form: where the sign turns, the step is left out and not taken back, and the next sign counts "
    "as new. A NaN gradient gives NaN, where torch takes no step. For whole batches: a mini-batch's signs are noise.",
)
