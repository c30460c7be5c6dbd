r"""Momentum as it was first written: the learning rate enters the velocity.

    V_t = gamma V_{t-1} + eta g_t,   theta_t = theta_{t-1} - V_t

A change of eta acts on new gradients only; what the velocity holds keeps the old one.
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Momentum, Rate, Search


def per_step(step, *, lr: Annotated[Rate, Search(1e-3, 5.0)] = 1e-3, momentum: Momentum = 0.9):
    return {"eta": lr, "gamma": momentum}


def per_element(p, g, V, *, eta, gamma):
    V = gamma * V + eta * g
    p = p - V
    return p, V


classical_momentum = Rule(
    name="classical_momentum",
    title="Momentum, the learning rate inside the velocity",
    source="Polyak 1964, USSR Computational Mathematics 4(5); Rumelhart, Hinton and Williams 1986, Nature 323",
    per_step=per_step,
    per_element=per_element,
    torch_names={"V": "velocity"},
    moments={"V": "signed"},
    counts_steps=False,
)
