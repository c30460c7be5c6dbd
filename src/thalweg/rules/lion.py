r"""Lion: the sign of an interpolated momentum.

u_t = sign(beta1 m_{t-1} + (1 - beta1) g_t),   m_t = beta2 m_{t-1} + (1 - beta2) g_t
theta_t = (1 - eta lambda) theta_{t-1} - eta u_t
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Rate, Search
from thalweg.rule.words import sign


def per_step(step, *, lr: Annotated[Rate, Search(1e-5, 1e-2)] = 1e-4, betas: Betas = (0.9, 0.99)):
    beta1, beta2 = betas
    return {"eta": lr, "beta1": beta1, "beta2": beta2}


def per_element(p, g, m, *, eta, beta1, beta2):
    u = sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    p = p - eta * u
    return p, m


lion = Rule(
    name="lion",
    title="Lion: the sign of an interpolated momentum",
    source="Chen et al. 2023, arXiv:2302.06675",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg"},
    moments={"m": "signed"},
    decay="decoupled",
)
