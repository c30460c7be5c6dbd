r"""NAdam: Adam with Nesterov's look-ahead and a momentum that grows.

mu_t = beta1 (1 - 0.96^(t psi) / 2),   Pi_t = mu_1 mu_2 ... mu_t
m_t, v_t as in Adam
theta_t = theta_{t-1} - eta [ (1 - mu_t) g_t / (1 - Pi_t) + mu_{t+1} m_t / (1 - Pi_t mu_{t+1}) ] / (sqrt(v_hat_t) + eps)
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search, Valid
from thalweg.rule.words import sqrt


def per_step(
    step,
    mu_product=1.0,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-8,
    momentum_decay: Annotated[float, Valid("Invalid momentum_decay value")] = 4e-3,
):
    beta1, beta2 = betas
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    mu_product = mu_product * mu
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "root": 1 / (1 - beta2**step) ** 0.5,
        "alpha_g": lr * (1 - mu) / (1 - mu_product),
        "alpha_m": lr * mu_next / (1 - mu_product * mu_next),
        "mu_product": mu_product,
    }


def per_element(p, g, m, v, *, beta1, beta2, eps, root, alpha_g, alpha_m):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p = p - (alpha_g * g + alpha_m * m) / (root * sqrt(v) + eps)
    return p, m, v


nadam = Rule(
    name="nadam",
    title="NAdam: Adam with Nesterov's look-ahead",
    source="Dozat 2016, ICLR workshop, 'Incorporating Nesterov Momentum into Adam'",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_sq"},
    moments={"m": "signed", "v": "unsigned"},
    departures="psi = momentum_decay = 4e-3, as in torch and in Dozat's report.",
)
