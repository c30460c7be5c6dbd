r"""Adam: running mean over running root mean square, each freed of its bias towards zero.

    m_t = beta1 m_{t-1} + (1 - beta1) g_t,      m_hat_t = m_t / (1 - beta1^t)
    v_t = beta2 v_{t-1} + (1 - beta2) g_t^2,    v_hat_t = v_t / (1 - beta2^t)
    theta_t = theta_{t-1} - eta m_hat_t / (sqrt(v_hat_t) + eps)

`bias_correction=False` leaves m_t and v_t as they are, to show what the correction does in the first steps.
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search, Switch
from thalweg.rule.words import sqrt


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-8,
    bias_correction: Switch = True,
):
    beta1, beta2 = betas
    unbias1 = 1 - beta1**step if bias_correction else 1.0
    unbias2 = 1 - beta2**step if bias_correction else 1.0
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "alpha": lr / unbias1,
        "root": 1 / unbias2**0.5,
    }


def per_element(p, g, m, v, *, beta1, beta2, eps, alpha, root):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p = p - alpha * m / (root * sqrt(v) + eps)
    return p, m, v


adam = Rule(
    name="adam",
    title="Adam: running mean over running root mean square",
    source="Kingma and Ba 2014, arXiv:1412.6980",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_sq"},
    moments={"m": "signed", "v": "unsigned"},
    departures="eps stands outside the root and after the correction, as in the paper's Algorithm 1 and in torch.",
)
