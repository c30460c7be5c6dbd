r"""ADOPT: Adam whose denominator has not yet seen the gradient that it divides.

v_1 = g_1^2,   theta_1 = theta_0;   from then on
c_t = clip(g_t / max(sqrt(v_{t-1}), eps), -b_t, b_t),   b_t = (t - 1)^(1/4)
m_t = beta1 m_{t-1} + (1 - beta1) c_t,   theta_t = theta_{t-1} - eta m_t
v_t = beta2 v_{t-1} + (1 - beta2) g_t^2

`clip=False` leaves b_t out: the algorithm as it was first published.
"""

from math import inf
from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search, Switch
from thalweg.rule.words import maximum, minimum, sqrt, where


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    betas: Betas = (0.9, 0.9999),
    eps: Epsilon = 1e-6,
    clip: Switch = True,
):
    beta1, beta2 = betas
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "eta": lr,
        "step": step,
        "bound": (step - 1) ** 0.25 if clip else inf,
        "fresh": 1.0 if step == 1 else 1 - beta2,
    }


def per_element(p, g, m, v, *, beta1, beta2, eps, eta, step, bound, fresh):
    c = minimum(maximum(g / maximum(sqrt(v), eps), -bound), bound)
    m = beta1 * m + (1 - beta1) * where(step > 1.5, c, 0.0)
    v = beta2 * v + fresh * g * g
    p = p - eta * m
    return p, m, v


adopt = Rule(
    name="adopt",
    title="ADOPT: Adam that divides by what it knew before",
    source="Taniguchi et al. 2024, arXiv:2411.02853",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_sq"},
    moments={"m": "signed", "v": "unsigned"},
    departures="Steps are counted from the one that only fills v, the paper's step 0. Clipping as in the paper's later "
    "versions and the authors' code. Decoupled decay acts in the first step too, where the authors' code has none.",
)
