r"""QHAdam: Adam with the plain gradient mixed into both of its averages.

m_t, v_t, m_hat_t, v_hat_t as in Adam
theta_t = theta_{t-1} - eta [(1 - nu1) g_t + nu1 m_hat_t] / (sqrt((1 - nu2) g_t^2 + nu2 v_hat_t) + eps)

nu1 = nu2 = 1 is Adam; nu1 = 0, nu2 = 1 is RMSprop with its bias corrected.
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search, Valid
from thalweg.rule.words import sqrt


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    betas: Betas = (0.995, 0.999),
    nus: Annotated[tuple[float, float], Valid("Invalid nu parameter", high=1.0, count=2)] = (0.7, 1.0),
    eps: Epsilon = 1e-8,
):
    beta1, beta2 = betas
    nu1, nu2 = nus
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "alpha_g": lr * (1 - nu1),
        "alpha_m": lr * nu1 / (1 - beta1**step),
        "square": 1 - nu2,
        "spread": nu2 / (1 - beta2**step),
    }


def per_element(p, g, m, v, *, beta1, beta2, eps, alpha_g, alpha_m, square, spread):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p = p - (alpha_g * g + alpha_m * m) / (sqrt(square * g * g + spread * v) + eps)
    return p, m, v


qhadam = Rule(
    name="qhadam",
    title="QHAdam: Adam with the plain gradient mixed in",
    source="Ma and Yarats 2018, arXiv:1810.06801",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_sq"},
    moments={"m": "signed", "v": "unsigned"},
    departures="The defaults are those that the authors recommend; their code's, nus = (1, 1) and "
    "betas = (0.9, 0.999), are Adam.",
)
