r"""ASGD: gradient descent with a shrinking step, and the average of the points that it passes.

theta_t = theta_{t-1} - eta_{t-1} (g_t + lambda theta_{t-1}),   ax_t = ax_{t-1} + mu_{t-1} (theta_t - ax_{t-1})
eta_t = lr / (1 + lambda lr t)^alpha,   eta_0 = lr,   mu_t = 1 / max(1, t - t0),   mu_0 = 1

The average is the state `ax`; up to step t0 it is the parameter itself.
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Rate, Search, Valid


def per_step(
    step,
    eta=0.0,
    mu=1.0,
    *,
    lr: Annotated[Rate, Search(1e-3, 5.0)] = 1e-2,
    lambd: Annotated[float, Valid("Invalid lambd value")] = 1e-4,
    alpha: Annotated[float, Valid("Invalid alpha value")] = 0.75,
    t0: Annotated[float, Valid("Invalid t0 value")] = 1e6,
):
    rate = lr if step == 1 else eta
    return {
        "rate": rate,
        "lambd": lambd,
        "share": mu,
        "eta": lr / (1 + lambd * lr * step) ** alpha,
        "mu": 1 / max(1, step - t0),
    }


def per_element(p, g, ax, *, rate, lambd, share):
    p = p - rate * (g + lambd * p)
    ax = ax + share * (p - ax)
    return p, ax


asgd = Rule(
    name="asgd",
    title="ASGD: gradient descent and the average of its points",
    source="Polyak and Juditsky 1992, SIAM J. Control and Optimization 30(4); step sizes: Bottou 2012, "
    "'Stochastic Gradient Descent Tricks'",
    per_step=per_step,
    per_element=per_element,
    departures="torch's form: a step takes the eta that the step before worked out, so a changed lr counts one step "
    "later. The parameter is not replaced by the average.",
)
