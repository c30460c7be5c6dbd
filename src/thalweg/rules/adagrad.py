r"""Adagrad: each coordinate's step shrinks with the gradients it has seen.

s_t = s_{t-1} + g_t^2,   theta_t = theta_{t-1} - eta_t g_t / (sqrt(s_t) + eps),   eta_t = eta / (1 + (t - 1) lr_decay)
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Epsilon, Rate, Search, Valid
from thalweg.rule.words import sqrt


def per_step(
    step,
    *,
    lr: Annotated[Rate, Search(1e-3, 1.0)] = 1e-2,
    lr_decay: Annotated[float, Valid("Invalid lr_decay value")] = 0.0,
    initial_accumulator_value: Annotated[float, Valid("Invalid initial_accumulator_value value")] = 0.0,
    eps: Epsilon = 1e-10,
):
    return {"eta": lr / (1 + (step - 1) * lr_decay), "eps": eps}


def per_element(p, g, s, *, eta, eps):
    s = s + g * g
    p = p - eta * g / (sqrt(s) + eps)
    return p, s


adagrad = Rule(
    name="adagrad",
    title="Adagrad: steps that shrink with the gradients seen",
    source="Duchi, Hazan and Singer 2011, JMLR 12",
    per_step=per_step,
    per_element=per_element,
    torch_names={"s": "sum"},
    moments={"s": "unsigned"},
    initial={"s": "initial_accumulator_value"},
    sparse="rows",
    departures="eps stands outside the root, as in torch and in the paper's diagonal form; many have it inside.",
)
