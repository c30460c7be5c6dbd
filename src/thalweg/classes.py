"""A drop-in optimizer class, made from rules: its signature, its settings and its docstring come from theirs."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from thalweg.face import OF_THE_OPTIMIZER, Optimizer
from thalweg.loading import FLAGS
from thalweg.rule import Rule
from thalweg.stages import SHARED


def optimizer(
    *rules: Rule,
    name: str | None = None,
    positional: str = "",
    defaults: Mapping[str, Any] | None = None,
    base: type[Optimizer] = Optimizer,
) -> type[Optimizer]:
    """A drop-in optimizer class from one rule, or from several between which settings choose (see `Rule.when`).

    `positional`: the settings that may be given by place, in order; by default all hyperparameters of the rules, then
    `weight_decay`. `defaults`: where the class differs from its rules. `name`: by default the first rule's.
    `base`: the face, where the rule needs more of it than a step (`thalweg.schedule_free`, `thalweg.second_order`).

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
            raise TypeError(f"optimizer(rule): {rule!r} is no Rule; make one with thalweg.Rule(...)")
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
    parameters = [Parameter("params", Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [Parameter(each, Parameter.POSITIONAL_OR_KEYWORD, default=every.pop(each)) for each in order]
    parameters += [Parameter(each, Parameter.KEYWORD_ONLY, default=value) for each, value in every.items()]
    signature = inspect.Signature(parameters)
    module = sys._getframe(1).f_globals.get("__name__", "__main__")  # the caller's: its classes can be pickled
    namespace = {
        "__doc__": _document(name, module, rules, base.example),
        "__module__": module,
        "__signature__": signature,
        "_arguments": signature,
        "rules": rules,
        "_switches": tuple(dict.fromkeys(switch for rule in rules for switch in rule.when)),
        "_recipes": {},
    }
    return type(name, (base,), namespace)


EXAMPLE = """Example:

>>> import torch
>>> from {module} import {name}
>>> p = torch.nn.Parameter(torch.ones(3))
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
        parts.append(EXAMPLE.format(module=module, name=name, gradient=gradient))
    return "\n\n".join(parts)
