"""Small equations around any rule: gradient scale, maximize, and the two kinds of weight decay.

They run in this order before the rule, inside the same kernel. What a group does not use is not in its kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from thalweg.rule.definition import Rule
from thalweg.rule.equations import Equations, read
from thalweg.rule.hyperparameters import AnyNumber, Decay, Hyperparameter, OneOf, Switch, declared
from thalweg.tensors.quantization import STATE_DTYPES
from thalweg.tensors.rounding import ROUNDINGS


@dataclass(frozen=True, eq=False)
class Transform:
    """One equation before the rule's: takes (p, g), hands (p, g) on."""

    name: str
    used: Callable[[Mapping[str, Any]], bool]
    per_step: Callable[..., dict[str, float]]
    per_element: Callable[..., Any]
    on_gradient: bool = True
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


TRANSFORMS = (
    Transform(
        "gradient_scale",
        lambda group: group["gradient_scale"] != 1.0,
        lambda group, scale: {"gradient_scale": group["gradient_scale"] * scale},
        scale_by,
    ),
    Transform("maximize", lambda group: group["maximize"], lambda group, scale: {}, ascend),
    Transform(
        "coupled_decay",
        lambda group: group["weight_decay"] != 0 and not group["decoupled_weight_decay"],
        lambda group, scale: {"weight_decay": group["weight_decay"]},
        add_decay,
    ),
    Transform(
        "decoupled_decay",
        lambda group: group["weight_decay"] != 0 and group["decoupled_weight_decay"],
        lambda group, scale: {"keep": 1 - group["lr"] * group["weight_decay"]},
        shrink,
        on_gradient=False,
    ),
)
NUMBERS = ("lr", "weight_decay", "gradient_scale")  # the settings that these take


def transforms_of(rule: Rule, group: Mapping[str, Any], scaled: bool) -> tuple[Transform, ...]:
    """The transforms that a group uses around its rule. `scaled`: this step multiplies all gradients by a number."""
    chosen = []
    for transform in TRANSFORMS:
        decays = transform.name.endswith("decay")
        if (transform.used(group) and not (decays and rule.decay == "own")) or (
            scaled and transform.name == "gradient_scale"
        ):
            chosen.append(transform)
    return tuple(chosen)


Rounding = Annotated[str, OneOf(tuple(ROUNDINGS))]
StateDtype = Annotated[str, OneOf(STATE_DTYPES)]


def _settings(
    *,
    weight_decay: Decay = 0.0,
    maximize: Switch = False,
    decoupled_weight_decay: Switch = False,
    gradient_scale: AnyNumber = 1.0,
    rounding: Rounding = "stochastic",
    state_dtype: StateDtype = "float32",
    cautious: Switch = False,
) -> None:
    """The settings that every rule has, whatever its equations."""


SHARED: dict[str, Hyperparameter] = {each.name: each for each in declared(_settings)}
