r"""Momentum as torch has it: the learning rate stays outside the buffer.

    b_1 = g_1,   b_t = mu b_{t-1} + (1 - tau) g_t,   theta_t = theta_{t-1} - eta b_t

tau is the dampening. With a constant eta this is the classical form; under a schedule the two part.
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import AnyNumber, Momentum, Rate, Search


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-3, 5.0)] = 1e-3,
    momentum: Momentum = 0.9,
    dampening: AnyNumber = 0.0,
):
    return {"eta": lr, "mu": momentum, "fresh": 1.0 if step == 1 else 1 - dampening}


def per_element(p, g, b, *, eta, mu, fresh):
    b = mu * b + fresh * g
    p = p - eta * b
    return p, b


momentum = Rule(
    name="momentum",
    title="Momentum, the learning rate outside the buffer",
    source="Polyak 1964, USSR Computational Mathematics 4(5); Sutskever et al. 2013, ICML",
    per_step=per_step,
    per_element=per_element,
    torch_names={"b": "momentum_buffer"},
    moments={"b": "signed"},
    when=("momentum",),
    counts_steps=False,
    sparse="dense",
    departures="torch's form: the first buffer is the first gradient, undampened, and eta multiplies the buffer.",
)
