r"""Schedule-Free RAdam: the rectified denominator makes the warm-up, the average makes the schedule.

rho_t, r_t as in RAdam;   rho_t > 4:  eta_t = eta r_t,   d_t = g_t / (sqrt(v_t / (1 - beta2^t)) + eps) + lambda y_t
else, silent:  eta_t = 0;   else, not silent:  eta_t = eta,   d_t = g_t + lambda y_t
y, z, x and their weights as in Schedule-Free SGD, with d_t for g_t and beta1 for beta
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import AnyNumber, Betas, Decay, Epsilon, Rate, Search, Switch
from thalweg.rule.words import sqrt, where
from thalweg.rules.schedule_free_sgd import SOURCE, average, averages


def per_step(
    step,
    weight_sum=0.0,
    lr_max=0.0,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 2.5e-3,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-8,
    weight_decay: Decay = 0.0,
    r: AnyNumber = 0.0,
    weight_lr_power: AnyNumber = 2.0,
    silent_sgd_phase: Switch = True,
):
    beta1, beta2 = betas
    unbias2 = 1 - beta2**step
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / unbias2
    rectified = rho > 4
    scale = 0.0 if silent_sgd_phase else 1.0
    if rectified:
        scale = ((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5
    shared = average(step, weight_sum, lr_max, eta=lr * scale, beta=beta1, r=r, weight_lr_power=weight_lr_power)
    root = 1 / unbias2**0.5 if rectified else 0.0
    return shared | {"beta2": beta2, "eps": eps, "decay": weight_decay, "root": root}


def per_element(y, g, v, z, *, beta2, eps, decay, root, eta, c, eta_y):
    v = beta2 * v + (1 - beta2) * g * g
    d = g * where(root > 0.0, 1.0 / (root * sqrt(v) + eps), 1.0) + decay * y
    y = (1 - c) * y + c * z - eta_y * d
    z = z - eta * d
    return y, v, z


schedule_free_radam = Rule(
    name="schedule_free_radam",
    title="Schedule-Free RAdam: rectified, with an average in place of a schedule",
    source=f"{SOURCE}, and the authors' code; rectification: Liu et al. 2019, arXiv:1908.03265",
    per_step=per_step,
    per_element=per_element,
    torch_names={"v": "exp_avg_sq"},
    moments={"v": "unsigned"},
    initial={"z": "p"},
    decay="own",
    check=averages,
    departures="As in the authors' code: rectifies above 4. The parameter holds y while training; "
    "x = y + (1 - 1 / beta1) (z - y). Each parameter sums its own weights. The decay is the rule's own, at y.",
)
