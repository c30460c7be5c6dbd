"""Rules as one text of JavaScript: for each an object of functions, which `runtime.js` starts and advances."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from thalweg.engines.javascript import element, scalars, tensor
from thalweg.engines.javascript.precision import PRECISIONS
from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Hyperparameter
from thalweg.update.transforms import SHARED, TRANSFORMS, Transform


@cache
def runtime() -> str:
    """The functions that programs call, and those that call them."""
    return files("thalweg.engines.javascript").joinpath("runtime.js").read_text(encoding="utf-8")


def functions(rule: Rule) -> str:
    """A rule's functions, as an object of JavaScript.

    Raises:
        RuleError: with the line and the reason, for what JavaScript cannot repeat.
    """
    parts = []
    for precision in PRECISIONS:
        loop, sums = element.loops(rule.element, precision), tensor.of_rule(rule, precision)
        parts.append(f"{precision.name}: {{\n  element: {loop},\n  tensor: {sums},\n  }}")
    # last: a rule of matrices is refused for these, and not for how it reads its settings
    parts.insert(0, f"numbers: {scalars.of_rule(rule)}")
    return "{\n  " + ",\n  ".join(parts) + ",\n}"


def facts(rule: Rule) -> dict[str, object]:
    """What the runtime has to know of a rule beside its functions."""
    shared = {name: each.default for name, each in SHARED.items() if not isinstance(each.default, str)}
    shared |= {"weight_decay": rule.weight_decay, "decoupled_weight_decay": rule.decay == "decoupled"}
    return {
        "name": rule.name,
        "states": list(rule.states),
        "initial": dict(rule.initial),
        "carried": dict(rule.carried),
        "measures": list(rule.measures),
        "decay": rule.decay,
        "summed": rule.summed,
        "settings": {**shared, **{name: plain(each) for name, each in rule.hyperparameters.items()}},
    }


def plain(hyperparameter: Hyperparameter) -> object:
    """A default as JSON has it: infinity is null, which the runtime knows."""
    value = hyperparameter.default
    return None if value == float("inf") else value


def program(rule: Rule) -> str:
    """All that the runtime needs of a rule, as an object of JavaScript."""
    return f"Object.assign({json.dumps(facts(rule))}, {functions(rule)})"


def transforms() -> str:
    """What stands around every rule, in order."""
    return "[" + ", ".join(map(_transform, TRANSFORMS)) + "]"


def _transform(transform: Transform) -> str:
    parts = [
        f"name: {json.dumps(transform.name)}",
        f"used: {scalars.of_group(transform.used)}",
        f"numbers: {scalars.of_group(lambda group: transform.per_step(group, 1.0))}",
        *(f"{each.name}: {element.loops(transform.element, each, returns_gradient=True)}" for each in PRECISIONS),
    ]
    return "{\n  " + ",\n  ".join(parts) + ",\n}"


def script(rules: Iterable[Rule]) -> str:
    """Rules and runtime as one script: `RULES`, `STAGES`, `start`, `advance`."""
    made = [f"RULES[{json.dumps(each.name)}] = {program(each)};" for each in rules]
    return "\n".join(["const RULES = {};", f"const STAGES = {transforms()};", *made, runtime()])
