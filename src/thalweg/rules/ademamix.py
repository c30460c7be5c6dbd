r"""AdEMAMix: Adam with a second, slow momentum that remembers thousands of steps.

m_t, v_t as in Adam with beta1, beta2,   s_t = beta3_t s_{t-1} + (1 - beta3_t) g_t
theta_t = theta_{t-1} - eta (m_hat_t + alpha_t s_t) / (sqrt(v_hat_t) + eps)
warm-up, for t < T:  alpha_t = alpha t / T,   1 / ln beta3_t = (1 - t/T) / ln beta1 + (t/T) / ln beta3
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Epsilon, Rate, Search, ThreeBetas, Valid
from thalweg.rule.words import sqrt


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    betas: ThreeBetas = (0.9, 0.999, 0.9999),
    eps: Epsilon = 1e-8,
    alpha: Annotated[float, Valid("Invalid alpha value")] = 5.0,
    t_warmup: Annotated[float, Valid("Invalid t_warmup value")] = 0.0,
):
    beta1, beta2, beta3 = betas
    mix = alpha
    if step < t_warmup:
        part = step / t_warmup
        mix = alpha * part
        beta3 = min(beta3, math.exp(1 / ((1 - part) / math.log(beta1) + part / math.log(beta3))))
    return {
        "beta1": beta1,
        "beta2": beta2,
        "beta3": beta3,
        "eps": eps,
        "alpha_m": lr / (1 - beta1**step),
        "alpha_s": lr * mix,
        "root": 1 / (1 - beta2**step) ** 0.5,
    }


def per_element(p, g, m, v, s, *, beta1, beta2, beta3, eps, alpha_m, alpha_s, root):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    s = beta3 * s + (1 - beta3) * g
    p = p - (alpha_m * m + alpha_s * s) / (root * sqrt(v) + eps)
    return p, m, v, s


def check(settings: Mapping[str, Any]) -> None:
    beta1, _, beta3 = settings["betas"]
    if settings["t_warmup"] > 0 and (beta1 == 0 or beta3 == 0):
        raise ValueError(
            f"t_warmup={settings['t_warmup']!r} needs betas[0] > 0 and betas[2] > 0: "
            f"the warm-up runs on their logarithms; got {settings['betas']!r}"
        )


ademamix = Rule(
    name="ademamix",
    title="AdEMAMix: Adam with a second, slow momentum",
    source="Pagliardini, Ablin and Grangier 2024, arXiv:2409.03137",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_sq", "s": "exp_avg_slow"},
    moments={"m": "signed", "v": "unsigned", "s": "slow"},
    decay="decoupled",
    check=check,
    departures="One t_warmup for alpha and beta3, as in the paper's experiments, where it is the length of training; "
    "0 leaves the warm-up out. Defaults are alpha = 5 and no decay; the authors' example has alpha = 8, decay 0.1 and "
    "a warm-up as long as training.",
)
