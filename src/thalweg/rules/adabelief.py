r"""AdaBelief: large steps where the gradient is as its running mean foretold.

m_t = beta1 m_{t-1} + (1 - beta1) g_t,                          m_hat_t = m_t / (1 - beta1^t)
s_t = beta2 s_{t-1} + (1 - beta2) (g_t - m_t)^2 + eps,          s_hat_t = s_t / (1 - beta2^t)
theta_t = theta_{t-1} - eta m_hat_t / (sqrt(s_hat_t) + eps)
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search
from thalweg.rule.words import sqrt


def per_step(
    step, *, lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3, betas: Betas = (0.9, 0.999), eps: Epsilon = 1e-16
):
    beta1, beta2 = betas
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "alpha": lr / (1 - beta1**step),
        "root": 1 / (1 - beta2**step) ** 0.5,
    }


def per_element(p, g, m, s, *, beta1, beta2, eps, alpha, root):
    m = beta1 * m + (1 - beta1) * g
    surprise = g - m
    s = beta2 * s + (1 - beta2) * surprise * surprise + eps
    p = p - alpha * m / (root * sqrt(s) + eps)
    return p, m, s


adabelief = Rule(
    name="adabelief",
    title="AdaBelief: steps by the belief in the gradient",
    source="Zhuang et al. 2020, arXiv:2010.07468",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "s": "exp_avg_var"},
    moments={"m": "signed", "s": "unsigned"},
    departures="eps enters the stored s in every step, as in the paper. Its default, 1e-16, is the authors' code's "
    "since version 0.1; the paper has 1e-8. No rectification; decay is coupled unless asked otherwise.",
)
