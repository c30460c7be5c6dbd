r"""Schedule-Free AdamW: Adam's denominator, and an average in place of momentum and schedule.

v_t = beta2 v_{t-1} + (1 - beta2) g_t^2,   d_t = g_t / (sqrt(v_t / (1 - beta2^t)) + eps) + lambda y_t
y, z, x and their weights as in Schedule-Free SGD, with d_t for g_t and beta1 for beta
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import AnyNumber, Betas, Decay, Epsilon, Rate, Search
from thalweg.rule.words import sqrt
from thalweg.rules.schedule_free_sgd import SOURCE, WarmUp, average, averages


def per_step(
    step,
    weight_sum=0.0,
    lr_max=0.0,
    *,
    lr: Annotated[Rate, Search(1e-4, 1e-1)] = 2.5e-3,
    betas: Betas = (0.9, 0.999),
    eps: Epsilon = 1e-8,
    weight_decay: Decay = 0.0,
    warmup_steps: WarmUp = 0.0,
    r: AnyNumber = 0.0,
    weight_lr_power: AnyNumber = 2.0,
):
    beta1, beta2 = betas
    eta = lr * step / warmup_steps if step < warmup_steps else lr
    shared = average(step, weight_sum, lr_max, eta=eta, beta=beta1, r=r, weight_lr_power=weight_lr_power)
    return shared | {"beta2": beta2, "eps": eps, "decay": weight_decay, "root": 1 / (1 - beta2**step) ** 0.5}


def per_element(y, g, v, z, *, beta2, eps, decay, root, eta, c, eta_y):
    v = beta2 * v + (1 - beta2) * g * g
    d = g / (root * sqrt(v) + eps) + decay * y
    y = (1 - c) * y + c * z - eta_y * d
    z = z - eta * d
    return y, v, z


schedule_free_adamw = Rule(
    name="schedule_free_adamw",
    title="Schedule-Free AdamW: an average in place of momentum and schedule",
    source=SOURCE,
    per_step=per_step,
    per_element=per_element,
    torch_names={"v": "exp_avg_sq"},
    moments={"v": "unsigned"},
    initial={"z": "p"},
    decay="own",
    check=averages,
    departures="Bias correction and weights are those of the authors' code, which corrects the denominator; the paper "
    "scales eta_t by sqrt(1 - beta2^t). The parameter holds y while training; x = y + (1 - 1 / beta1) (z - y). Each "
    "parameter sums its own weights. The decay is the rule's own: it joins the step d_t, at y.",
)
