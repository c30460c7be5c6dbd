"""A drop-in optimizer class, made from rules: its signature, its settings and its docstring come from theirs."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, Literal

from torch import Tensor
from torch.optim.optimizer import ParamsT

from thalweg import engines
from thalweg.optimizers.clipping import ON_NONFINITE
from thalweg.optimizers.loading import FLAGS
from thalweg.optimizers.optimizer import OF_THE_OPTIMIZER, Optimizer
from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import OneOf, Valid
from thalweg.update.transforms import SHARED


def optimizer(
    *rules: Rule,
    name: str | None = None,
    positional: str = "",
    defaults: Mapping[str, Any] | None = None,
    base: type[Optimizer] = Optimizer,
) -> type[Optimizer]:
    """A drop-in optimizer class from one rule, or from several between which settings choose (see `Rule.when`).

    Args:
        rules: the first is the one without switches.
        name: of the class; the first rule's if None.
        positional: the settings that may be given by place, in order, parted by spaces; by default all hyperparameters
            of the rules, then `weight_decay`.
        defaults: where the class differs from its rules.
        base: the class to derive from, where the rule needs more than a step (`schedule_free`, `second_order`).

    Raises:
        TypeError: for what is not a rule.
        ValueError: for no rule, or a first one that needs a switch.

    >>> import torch, thalweg
    >>> from thalweg.rules.sgd import sgd
    >>> Descent = thalweg.optimizer(sgd, name="Descent")
    >>> p = torch.nn.Parameter(torch.ones(2))
    >>> p.grad = torch.tensor([1.0, 2.0])
    >>> Descent([p], lr=0.5).step()
    >>> p.tolist()
    [0.5, 0.0]
    """
    for rule in rules:
        if not isinstance(rule, Rule):
            raise TypeError(f"optimizer(rule): {rule!r} is not a Rule; make one with thalweg.Rule(...)")
    if not rules or rules[0].when:
        raise ValueError(
            "optimizer(rule): the first rule is the one chosen when no switch is on, so its `when` is empty"
        )
    name = name or "".join(part.capitalize() for part in rules[0].name.split("_"))
    settings = {name: each.default for rule in reversed(rules) for name, each in rule.hyperparameters.items()}
    switches = {switch: False for rule in rules for switch in rule.when if switch not in settings}
    shared = {name: each.default for name, each in SHARED.items()}
    shared |= {"weight_decay": rules[0].weight_decay, "decoupled_weight_decay": rules[0].decay == "decoupled"}
    own = {"weight_decay": shared["weight_decay"]} | settings  # a rule's own decay comes with its own default
    every = {**settings, **own, **switches, **shared, **own, **FLAGS, **OF_THE_OPTIMIZER, **(defaults or {})}
    order = positional.split() or list(dict.fromkeys([*settings, "weight_decay"]))
    declared = {name: each.rule for rule in reversed(rules) for name, each in rule.hyperparameters.items()}
    declared |= {name: each.rule for name, each in SHARED.items()}
    kinds = {each: _kind(each, value, declared.get(each)) for each, value in every.items()}
    by_place, by_name = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    parameters = [Parameter("params", by_place, annotation=ParamsT)]
    for each, value in [(each, every.pop(each)) for each in order]:
        parameters.append(Parameter(each, by_place, default=value, annotation=kinds[each]))
    parameters += [Parameter(each, by_name, default=value, annotation=kinds[each]) for each, value in every.items()]
    signature = inspect.Signature(parameters)
    module = sys._getframe(1).f_globals.get("__name__", "__main__")  # the caller's: its classes can be pickled
    namespace = {
        "__doc__": _document(name, module, rules, base.example),
        "__module__": module,
        "__init__": _constructor(base, signature),
        "_arguments": signature,
        "rules": rules,
        "_switches": tuple(dict.fromkeys(name for rule in rules for name in rule.when if name in settings)),
        "_on_off": tuple(switches),
        "_updates": {},
    }
    return type(name, (base,), namespace)


def _constructor(base: type[Optimizer], signature: inspect.Signature) -> Callable[..., None]:
    """An `__init__` of the class's own, since that is what tools which read signatures (jsonargparse) look at."""

    def __init__(self: Optimizer, params: Any, *args: Any, **settings: Any) -> None:
        base.__init__(self, params, *args, **settings)

    own = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *signature.parameters.values()]
    __init__.__signature__ = inspect.Signature(own, return_annotation=None)  # type: ignore[attr-defined]
    __init__.__annotations__ = {each.name: each.annotation for each in own[1:]} | {"return": None}
    return __init__


WORDS: dict[str, tuple[str, ...]] = {"engine": engines.NAMES, "on_nonfinite": ON_NONFINITE}


def _kind(name: str, default: Any, rule: Valid | OneOf | None) -> Any:
    """The type of a setting. Numbers may be tensors: autograd follows them (`differentiable`), a graph reads them."""
    words = WORDS.get(name) or (rule.values if isinstance(rule, OneOf) else (True, False))
    if isinstance(rule, Valid):
        if rule.count is None:
            return float | Tensor
        places = range(rule.count)
        return tuple.__class_getitem__(
            tuple(float | Tensor | None if place in rule.none_at else float | Tensor for place in places)
        )
    if name == "clip_norm":
        return float | None
    if any(isinstance(each, str) for each in words):
        return Literal[words]
    return bool if isinstance(default, bool) else bool | None


EXAMPLE = """Example:

>>> import torch
>>> from {module} import {name}
>>> p = torch.nn.Parameter(torch.ones({shape}))
>>> optimizer = {name}([p])
>>> for _ in range(10):
...     {gradient}
...     optimizer.step()
>>> bool((p < 1).all())
True
"""


def _document(name: str, module: str, rules: tuple[Rule, ...], gradient: str) -> str:
    """The class's docstring: each rule's title, equations, departures and source, and an example."""
    parts = []
    for rule in rules:
        where = f" (with {', '.join(rule.when)})" if rule.when else ""
        text = rule.paper or textwrap.indent(rule.equations, "    ")
        parts.append(
            f"{rule.title}{where}.\n\n{text}\n\nDepartures: {rule.departures or 'none.'}\n\nSource: {rule.source}."
        )
    if module.startswith("thalweg."):
        gradient += ".to_sparse()" if rules[0].sparse == "only" else ""
        shape = "3" if rules[0].unfit is None else "3, 3"
        gradient = gradient.replace("ones(3)", f"ones({shape})")
        parts.append(EXAMPLE.format(module=module, name=name, gradient=gradient, shape=shape))
    return "\n\n".join(parts)
