r"""Adamax: Adam by the infinity norm.

m_t = beta1 m_{t-1} + (1 - beta1) g_t,   u_t = max(beta2 u_{t-1}, |g_t| + eps)
theta_t = theta_{t-1} - eta / (1 - beta1^t) m_t / u_t
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search
from thalweg.rule.words import abs, maximum


def per_step(step, *, lr: Annotated[Rate, Search(1e-4, 1e-1)] = 2e-3, betas: Betas = (0.9, 0.999), eps: Epsilon = 1e-8):
    beta1, beta2 = betas
    return {"beta1": beta1, "beta2": beta2, "eps": eps, "alpha": lr / (1 - beta1**step)}


def per_element(p, g, m, u, *, beta1, beta2, eps, alpha):
    m = beta1 * m + (1 - beta1) * g
    u = maximum(beta2 * u, abs(g) + eps)
    p = p - alpha * m / u
    return p, m, u


adamax = Rule(
    name="adamax",
    title="Adamax: Adam by the infinity norm",
    source="Kingma and Ba 2014, arXiv:1412.6980, section 7.1",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "u": "exp_inf"},
    moments={"m": "signed", "u": "unsigned"},
    departures="eps is added to |g|, as in torch; the paper has none.",
)
