"""Small equations around any rule: gradient scale, maximize, and the two kinds of weight decay.

They run in this order before the rule, inside the same kernel. A stage that a group does not use is not in its kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.equations import Equations, read
from thalweg.hyperparameters import AnyNumber, Decay, Hyperparameter, Switch, declared, plain


@dataclass(frozen=True, eq=False)
class Stage:
    """One equation before the rule's: takes (p, g), hands (p, g) on."""

    name: str
    used: Callable[[Mapping[str, Any]], bool]
    per_step: Callable[..., dict[str, float]]
    per_element: Callable[..., Any]
    decays: bool = False
    element: Equations = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "element", read(self.per_element, returns_gradient=True))


def scale_by(p, g, *, gradient_scale):
    g = gradient_scale * g
    return p, g


def ascend(p, g):
    g = -g
    return p, g


def add_decay(p, g, *, weight_decay):
    g = g + weight_decay * p
    return p, g


def shrink(p, g, *, keep):
    p = keep * p
    return p, g


STAGES = (
    Stage(
        "gradient_scale",
        lambda group: group["gradient_scale"] != 1.0,
        lambda group: {"gradient_scale": plain(group["gradient_scale"])},
        scale_by,
    ),
    Stage("maximize", lambda group: group["maximize"], lambda group: {}, ascend),
    Stage(
        "coupled_decay",
        lambda group: group["weight_decay"] != 0 and not group["decoupled_weight_decay"],
        lambda group: {"weight_decay": plain(group["weight_decay"])},
        add_decay,
        decays=True,
    ),
    Stage(
        "decoupled_decay",
        lambda group: group["weight_decay"] != 0 and group["decoupled_weight_decay"],
        lambda group: {"keep": 1 - plain(group["lr"]) * plain(group["weight_decay"])},
        shrink,
        decays=True,
    ),
)


def _settings(
    *,
    weight_decay: Decay = 0.0,
    maximize: Switch = False,
    decoupled_weight_decay: Switch = False,
    gradient_scale: AnyNumber = 1.0,
) -> None:
    """The settings that every rule has, whatever its equations."""


SHARED: dict[str, Hyperparameter] = {each.name: each for each in declared(_settings)}
