r"""Adan: Nesterov's look-ahead by the difference of the last two gradients.

d_t = g_t - g_{t-1},   d_1 = 0
m_t = beta1 m_{t-1} + (1 - beta1) g_t,                      m_hat_t = m_t / (1 - beta1^t)
v_t = beta2 v_{t-1} + (1 - beta2) d_t,                      v_hat_t = v_t / (1 - beta2^t)
s_t = beta3 s_{t-1} + (1 - beta3) (g_t + beta2 d_t)^2,      s_hat_t = s_t / (1 - beta3^t)
theta_t = [theta_{t-1} - eta (m_hat_t + beta2 v_hat_t) / (sqrt(s_hat_t) + eps)] / (1 + eta lambda)
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Decay, Epsilon, Rate, Search, ThreeBetas
from thalweg.rule.words import sqrt, where


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    betas: ThreeBetas = (0.98, 0.92, 0.99),
    eps: Epsilon = 1e-8,
    weight_decay: Decay = 0.0,
):
    beta1, beta2, beta3 = betas
    return {
        "beta1": beta1,
        "beta2": beta2,
        "beta3": beta3,
        "eps": eps,
        "step": step,
        "shrink": 1 / (1 + lr * weight_decay),
        "alpha_m": lr / (1 - beta1**step),
        "alpha_v": lr * beta2 / (1 - beta2**step),
        "root": 1 / (1 - beta3**step) ** 0.5,
    }


def per_element(p, g, m, v, s, prev, *, beta1, beta2, beta3, eps, step, shrink, alpha_m, alpha_v, root):
    d = where(step > 1.5, g + prev, 0.0)
    ahead = g + beta2 * d
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * d
    s = beta3 * s + (1 - beta3) * ahead * ahead
    p = shrink * (p - (alpha_m * m + alpha_v * v) / (root * sqrt(s) + eps))
    prev = -g
    return p, m, v, s, prev


adan = Rule(
    name="adan",
    title="Adan: Nesterov's look-ahead by the gradients' difference",
    source="Xie et al. 2022, arXiv:2208.06677",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_diff", "s": "exp_avg_sq", "prev": "neg_pre_grad"},
    moments={"m": "signed", "v": "signed", "s": "unsigned"},
    decay="own",
    departures="betas, bias correction and eps outside the root as in the authors' code; the paper writes 1 - beta for "
    "beta, starts from the first gradient and corrects nothing. No restarts.",
)
