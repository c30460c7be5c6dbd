r"""Schedule-Free SGD: the average x of a sequence z in place of a schedule, and gradients taken between the two.

    y_t = (1 - beta) z_t + beta x_t                                      where the gradient is taken
    z_{t+1} = z_t - eta_t d_t,   d_t = g_t + lambda y_t,   x_{t+1} = (1 - c_t) x_t + c_t z_{t+1},   z_1 = x_1 = y_1
    c_t = w_t / (w_1 + ... + w_t),   w_t = t^r max(eta_1, ..., eta_t)^weight_lr_power
    eta_t = eta min(1, t / warmup_steps)

The parameter holds y, so that x is not stored; putting x out of the lines leaves

    y_{t+1} = (1 - c_t) y_t + c_t z_t - eta_t (1 - beta (1 - c_t)) d_t
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import AnyNumber, Decay, Rate, Search, Valid

Between = Annotated[float, Valid("Invalid momentum value", high=1.0, open_above=True)]
WarmUp = Annotated[float, Valid("Invalid warmup_steps value")]


def average(step, weight_sum, lr_max, *, eta, beta, r, weight_lr_power):
    """What the three Schedule-Free rules share: the weight of this step in the average, and the step of y."""
    lr_max = max(eta, lr_max)
    weight = step**r * lr_max**weight_lr_power
    weight_sum = weight_sum + weight
    c = weight / weight_sum if weight_sum > 0 else 0.0
    return {
        "eta": eta,
        "c": c,
        "eta_y": eta * (1 - beta * (1 - c)),
        "weight_sum": weight_sum,
        "lr_max": lr_max,
    }


def per_step(
    step,
    weight_sum=0.0,
    lr_max=0.0,
    *,
    lr: Annotated[Rate, Search(1e-2, 1e2)] = 1.0,
    momentum: Between = 0.9,
    weight_decay: Decay = 0.0,
    warmup_steps: WarmUp = 0.0,
    r: AnyNumber = 0.0,
    weight_lr_power: AnyNumber = 2.0,
):
    eta = lr * step / warmup_steps if step < warmup_steps else lr
    shared = average(step, weight_sum, lr_max, eta=eta, beta=momentum, r=r, weight_lr_power=weight_lr_power)
    return shared | {"decay": weight_decay}


def per_element(y, g, z, *, decay, eta, c, eta_y):
    d = g + decay * y
    y = (1 - c) * y + c * z - eta_y * d
    z = z - eta * d
    return y, z


def averages(settings):
    """Refuse what leaves no average: at beta = 0 y is z, and x could not be told from the two."""
    name, beta = ("momentum", settings["momentum"]) if "momentum" in settings else ("betas[0]", settings["betas"][0])
    if beta == 0:
        raise ValueError(f"{name}={beta!r}: the average is known by y and z alone; allowed is 0 < {name} < 1")


SOURCE = "Defazio et al. 2024, arXiv:2405.15682"

schedule_free_sgd = Rule(
    name="schedule_free_sgd",
    title="Schedule-Free SGD: an average in place of a schedule",
    source=SOURCE,
    per_step=per_step,
    per_element=per_element,
    initial={"z": "p"},
    decay="own",
    check=averages,
    departures="The parameter holds y while training; x = y + (1 - 1 / momentum) (z - y), as long as momentum stays as "
    "it is. The weights are the authors' code's, and each parameter sums its own. The decay is the rule's own, at y.",
)
