r"""Nesterov's momentum as it was first written: the gradient is taken ahead, at theta - gamma V.

    g_t = grad f(theta_{t-1} - gamma V_{t-1}),   V_t = gamma V_{t-1} + eta g_t,   theta_t = theta_{t-1} - V_t

Between steps the parameter holds the point ahead, phi_t = theta_t - gamma V_t, where the next gradient is due; the
state `shift` is gamma V_t, so that theta_t = phi_t + shift. Putting theta out of the three lines leaves

    V_t = shift_{t-1} + eta g_t,   shift_t = gamma V_t,   phi_t = phi_{t-1} - eta g_t - shift_t
"""

from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Momentum, Rate, Search


def per_step(step, *, lr: Annotated[Rate, Search(1e-3, 5.0)] = 1e-3, momentum: Momentum = 0.9):
    return {"eta": lr, "gamma": momentum}


def per_element(p, g, shift, *, eta, gamma):
    V = shift + eta * g
    shift = gamma * V
    p = p - eta * g - shift
    return p, shift


classical_nesterov = Rule(
    name="classical_nesterov",
    title="Nesterov momentum, the gradient taken at theta - gamma V",
    source="Nesterov 1983, Soviet Mathematics Doklady 27",
    per_step=per_step,
    per_element=per_element,
    moments={"shift": "signed"},
    counts_steps=False,
    departures="The parameter holds the point ahead; theta is parameter + state 'shift'. "
    "Weight decay acts on what the parameter holds.",
)
