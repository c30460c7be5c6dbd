r"""Adadelta: the units of the step come from the steps themselves.

s_t = rho s_{t-1} + (1 - rho) g_t^2,   d_t = sqrt(u_{t-1} + eps) / sqrt(s_t + eps) g_t
u_t = rho u_{t-1} + (1 - rho) d_t^2,   theta_t = theta_{t-1} - lr d_t
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Epsilon, Rate, Search, Valid
from thalweg.rule.words import sqrt


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-1, 1e2)] = 1.0,
    rho: Annotated[float, Valid("Invalid rho value", high=1.0)] = 0.9,
    eps: Epsilon = 1e-6,
):
    return {"lr": lr, "rho": rho, "eps": eps}


def per_element(p, g, s, u, *, lr, rho, eps):
    s = rho * s + (1 - rho) * g * g
    d = sqrt(u + eps) / sqrt(s + eps) * g
    u = rho * u + (1 - rho) * d * d
    p = p - lr * d
    return p, s, u


adadelta = Rule(
    name="adadelta",
    title="Adadelta: steps in the units of the parameter",
    source="Zeiler 2012, arXiv:1212.5701",
    per_step=per_step,
    per_element=per_element,
    torch_names={"s": "square_avg", "u": "acc_delta"},
    moments={"s": "unsigned", "u": "unsigned"},
    departures="The paper has no learning rate; lr = 1 is the paper's rule.",
)
