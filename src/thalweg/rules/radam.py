r"""RAdam: Adam that steps by momentum alone until the variance of its step size can be trusted, and then scales it.

rho_inf = 2 / (1 - beta2) - 1,   rho_t = rho_inf - 2 t beta2^t / (1 - beta2^t)
rho_t > rectify_above:   r_t = sqrt( (rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t) )
                         theta_t = theta_{t-1} - eta r_t m_hat_t sqrt(1 - beta2^t) / (sqrt(v_t) + eps)
else:                    theta_t = theta_{t-1} - eta m_hat_t
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Betas, Epsilon, Rate, Search, Valid
from thalweg.rule.words import sqrt, where


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-8,
    rectify_above: Annotated[float, Valid("Invalid rectify_above value", low=4.0)] = 5.0,
):
    beta1, beta2 = betas
    unbias2 = 1 - beta2**step
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / unbias2
    r = 0.0
    if rho > rectify_above:
        r = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "alpha": lr / (1 - beta1**step),
        "scale": r * unbias2**0.5,
    }


def per_element(p, g, m, v, *, beta1, beta2, eps, alpha, scale):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p = p - alpha * m * where(scale > 0.0, scale / (sqrt(v) + eps), 1.0)
    return p, m, v


radam = Rule(
    name="radam",
    title="RAdam: Adam with the variance of its step size rectified",
    source="Liu et al. 2019, arXiv:1908.03265",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_avg_sq"},
    moments={"m": "signed", "v": "unsigned"},
    departures="Rectifies above 5, as torch; the paper above 4 (rectify_above=4). eps joins sqrt(v) before the bias "
    "correction, as in torch. Before rectification the momentum step is bias-corrected, as in the paper and in torch.",
)
