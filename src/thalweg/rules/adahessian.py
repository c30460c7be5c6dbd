r"""AdaHessian: Adam with the loss's curvature, element by element, in place of the squared gradient.

h_t = z * (H_t z), z of 1 and -1 by chance: estimates the diagonal of the Hessian H_t    (`optimizers.second_order`)
m_t = beta1 m_{t-1} + (1 - beta1) g_t,   v_t = beta2 v_{t-1} + (1 - beta2) h_t^2
theta_t = (1 - eta lambda) theta_{t-1} - eta m_hat_t / (sqrt(v_hat_t)^k + eps)                  k: hessian_power

`average_conv_kernel` averages h over each kernel of a convolution, `update_each` takes a new h every so many steps
only, and `seed` chooses z.
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import AnyNumber, Betas, Epsilon, Rate, Search, Switch, Valid
from thalweg.rule.words import exp, log, sqrt, where


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-2, 1.0)] = 0.15,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-8,
    hessian_power: Annotated[float, Valid("Invalid Hessian power value", high=1.0)] = 1.0,
    update_each: Annotated[float, Valid("Invalid update_each value", low=1.0)] = 1,
    average_conv_kernel: Switch = False,
    seed: AnyNumber = 0,
):
    beta1, beta2 = betas
    return {
        "beta1": beta1,
        "beta2": beta2,
        "eps": eps,
        "power": hessian_power,
        "alpha": lr / (1 - beta1**step),
        "root": 1 / (1 - beta2**step) ** 0.5,
    }


def per_element(p, g, m, v, h, *, beta1, beta2, eps, power, alpha, root):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * h * h
    d = root * sqrt(v)
    d = where(power < 1.0, where(power > 0.0, exp(power * log(d)), 1.0), d)
    p = p - alpha * m / (d + eps)
    return p, m, v, h


adahessian = Rule(
    name="adahessian",
    title="AdaHessian: Adam with curvature in place of the squared gradient",
    source="Yao et al. 2020, arXiv:2006.00719",
    per_step=per_step,
    per_element=per_element,
    torch_names={"m": "exp_avg", "v": "exp_hessian_diag_sq", "h": "hessian_diag"},
    moments={"m": "signed", "v": "unsigned"},
    decay="decoupled",
    departures="eps is 1e-8 by default, where the authors' code has 1e-4; it is added to the denominator, as there. "
    "Averages over blocks are of convolutions' kernels alone, on request, and of h itself, as in the paper; the "
    "authors' code averages its absolute value.",
)
