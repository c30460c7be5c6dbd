r"""Nesterov's momentum as torch has it: the look-ahead is rewritten so that the gradient is taken at theta.

b_1 = g_1,   b_t = mu b_{t-1} + g_t,   theta_t = theta_{t-1} - eta (g_t + mu b_t)
"""

from collections.abc import Mapping
from typing import Annotated, Any

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Momentum, Rate, Search


def per_step(step, *, lr: Annotated[Rate, Search(1e-3, 5.0)] = 1e-3, momentum: Momentum = 0.9):
    return {"eta": lr, "mu": momentum}


def per_element(p, g, b, *, eta, mu):
    b = mu * b + g
    p = p - eta * (g + mu * b)
    return p, b


def check(settings: Mapping[str, Any]) -> None:
    momentum, dampening = settings["momentum"], settings.get("dampening", 0)
    if momentum <= 0 or dampening != 0:
        raise ValueError(
            "Nesterov momentum requires a momentum and zero dampening "
            f"(momentum={momentum!r} must be > 0, dampening={dampening!r} must be 0)"
        )


nesterov = Rule(
    name="nesterov",
    title="Nesterov momentum, rewritten at the current point",
    source="Nesterov 1983, Soviet Mathematics Doklady 27; Sutskever et al. 2013, ICML",
    per_step=per_step,
    per_element=per_element,
    torch_names={"b": "momentum_buffer"},
    moments={"b": "signed"},
    when=("momentum", "nesterov"),
    counts_steps=False,
    sparse="dense",
    check=check,
    departures="torch's form: eta stays outside the buffer, so a schedule acts on the whole buffer.",
)
