r"""RMSprop: divide by a running root mean square of the gradient. Plain or centered, each with momentum or without.

s_t = alpha s_{t-1} + (1 - alpha) g_t^2,   d_t = g_t / (sqrt(s_t) + eps)
centered:        a_t = alpha a_{t-1} + (1 - alpha) g_t,   d_t = g_t / (sqrt(max(s_t - a_t^2, 0)) + eps)
plain:          theta_t = theta_{t-1} - eta d_t
with momentum:  b_t = mu b_{t-1} + d_t,   theta_t = theta_{t-1} - eta b_t
"""

from dataclasses import replace
from typing import Annotated

from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Epsilon, Momentum, Rate, Search, Valid
from thalweg.rule.words import maximum, sqrt

Alpha = Annotated[float, Valid("Invalid alpha value")]
RmspropRate = Annotated[Rate, Search(1e-4, 1e-1)]


def per_step(step, *, lr: RmspropRate = 1e-2, alpha: Alpha = 0.99, eps: Epsilon = 1e-8):
    return {"eta": lr, "alpha": alpha, "eps": eps}


def per_step_momentum(
    step, *, lr: RmspropRate = 1e-2, alpha: Alpha = 0.99, eps: Epsilon = 1e-8, momentum: Momentum = 0.9
):
    return {"eta": lr, "alpha": alpha, "eps": eps, "mu": momentum}


def plain(p, g, s, *, eta, alpha, eps):
    s = alpha * s + (1 - alpha) * g * g
    p = p - eta * g / (sqrt(s) + eps)
    return p, s


def with_momentum(p, g, s, b, *, eta, alpha, eps, mu):
    s = alpha * s + (1 - alpha) * g * g
    b = mu * b + g / (sqrt(s) + eps)
    p = p - eta * b
    return p, s, b


def centred(p, g, s, a, *, eta, alpha, eps):
    s = alpha * s + (1 - alpha) * g * g
    a = alpha * a + (1 - alpha) * g
    p = p - eta * g / (sqrt(maximum(s - a * a, 0.0)) + eps)
    return p, s, a


def centred_with_momentum(p, g, s, a, b, *, eta, alpha, eps, mu):
    s = alpha * s + (1 - alpha) * g * g
    a = alpha * a + (1 - alpha) * g
    b = mu * b + g / (sqrt(maximum(s - a * a, 0.0)) + eps)
    p = p - eta * b
    return p, s, a, b


NAMES = {"s": "square_avg", "b": "momentum_buffer", "a": "grad_avg"}

rmsprop = Rule(
    name="rmsprop",
    title="RMSprop: divide by a running root mean square",
    source="Tieleman and Hinton 2012, Coursera lecture 6.5; centered: Graves 2013, arXiv:1308.0850",
    per_step=per_step,
    per_element=plain,
    torch_names={"s": "square_avg"},
    moments={"s": "unsigned"},
    departures="eps stands outside the root, as in torch. The centered variance is kept at 0 or above, where torch's "
    "rounds below zero and turns to NaN.",
)
rmsprop_momentum = replace(
    rmsprop,
    name="rmsprop_momentum",
    title="RMSprop with momentum",
    per_step=per_step_momentum,
    per_element=with_momentum,
    torch_names={name: NAMES[name] for name in "sb"},
    moments={"s": "unsigned", "b": "signed"},
    when=("momentum",),
)
rmsprop_centred = replace(
    rmsprop,
    name="rmsprop_centred",
    title="RMSprop, centered: divide by a running standard deviation",
    per_element=centred,
    torch_names={name: NAMES[name] for name in "sa"},
    moments={},  # s - a * a would be the difference of two roundings
    when=("centered",),
)
rmsprop_centred_momentum = replace(
    rmsprop_momentum,
    name="rmsprop_centred_momentum",
    title="RMSprop, centered, with momentum",
    per_element=centred_with_momentum,
    torch_names=NAMES,
    moments={"b": "signed"},
    when=("momentum", "centered"),
)
