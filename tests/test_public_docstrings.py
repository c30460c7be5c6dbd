"""Every public function and class has a docstring with a line for each of its parameters."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import pytest

NAMESPACES = ("thalweg", "thalweg.optim", "thalweg.lab", "thalweg.play")


def public() -> dict[str, Any]:
    """What the namespaces offer that is ours: functions, classes; classes made of rules have the rules' own text."""
    found = {}
    for namespace in NAMESPACES:
        module = import_module(namespace)
        for name in module.__all__:
            value = getattr(module, name)
            ours = str(getattr(value, "__module__", "")).startswith("thalweg")
            if ours and (inspect.isfunction(value) or inspect.isclass(value)) and not made_of_rules(value):
                found[f"{namespace}.{name}"] = value
    return found


def made_of_rules(value: Any) -> bool:
    return bool(getattr(value, "rules", ())) and inspect.isclass(value)


def parameters(value: Any) -> list[str]:
    """By name; an exception, and what a verb gives back, is made by nobody else."""
    if inspect.isclass(value) and (issubclass(value, Exception) or hasattr(value, "to_pandas")):
        return []
    return [name for name in inspect.signature(value).parameters if name != "self"]


def undocumented(value: Any) -> list[str]:
    doc = "\n".join(filter(None, [inspect.getdoc(value), inspect.getdoc(getattr(value, "__init__", None))]))
    lines = re.findall(r"^ +([\w*, ]+):", doc, re.MULTILINE)
    told = {name.strip(" *") for line in lines for name in line.split(",")}
    return [name for name in parameters(value) if name not in told]


@pytest.mark.parametrize(("name", "value"), public().items(), ids=public())
def test_each_parameter_has_its_line(name, value):
    assert inspect.getdoc(value)
    assert undocumented(value) == []


def test_one_without_is_seen():
    def halve(number: float, twice: bool = False) -> float:
        """Half of it.

        Args:
            number: any.
        """
        return number / (4 if twice else 2)

    assert undocumented(halve) == ["twice"]
