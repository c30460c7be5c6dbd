"""`per_step` as a function of JavaScript: step, carried numbers and settings in, numbers out, in double precision."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thalweg.engines.javascript.names import number
from thalweg.engines.javascript.refusal import refusing
from thalweg.engines.trace import Spelling, Switch, Trace, Untraceable, symbolic
from thalweg.rule.definition import Rule
from thalweg.update.transforms import SHARED

SPELLING = Spelling(
    {
        **{name: f"Math.{name}({{}})" for name in ("exp", "log", "sqrt", "cos", "sin", "abs")},
        "power": "$power({}, {})",
        "select": "{} ? {} : {}",
        "mod": "{0} - {1} * Math.floor({0} / {1})",
    },
    lambda place, value: number(value),
)
MADE = re.compile(r"__n\d+")
ATOM = re.compile(r"[a-z]\$[\w.\[\]]*|[\d.]+(e[-+]?\d+)?|Infinity")


def setting_symbol(trace: Trace, name: str, default: Any) -> Any:
    """A setting as a symbol, or as many as it holds."""
    if isinstance(default, (tuple, list)):
        return tuple(trace.symbol(f"h$.{name}[{place}]") for place in range(len(default)))
    if isinstance(default, str):
        raise Untraceable(f"{name}={default!r} is not a number")
    return Switch(trace, trace.symbol(f"h$.{name}").name)


class Recorded:
    """What a function that returns numbers by name does, as the body of one in JavaScript."""

    def __init__(self, trace: Trace, function: Callable[[], Mapping[str, Any]]) -> None:
        self.trace = trace
        names: list[str] = []

        def run() -> Sequence[Any]:
            given = function()
            names[:] = given
            return list(given.values())

        values = trace.all_branches(run)
        self.results: dict[str, str] = dict(zip(names, values, strict=True))

    def body(self, pad: str = "    ") -> str:
        """The lines that the results need, in order, and the object that is returned."""
        lines, needed = self.trace.lines, set(self.results.values())
        for expression, name in reversed(list(lines.items())):
            if name in needed:
                needed.update(MADE.findall(expression))
        plain = {name: text for text, name in lines.items() if name in needed and ATOM.fullmatch(text)}

        def rendered(text: str) -> str:
            """With what is plain put in place, and names as JavaScript's: no name of a rule holds a dollar."""
            return MADE.sub(lambda found: plain.get(found[0], f"${found[0][3:]}"), text)

        kept = [(text, name) for text, name in lines.items() if name in needed and name not in plain]
        given = ", ".join(f"{name}: {rendered(value)}" for name, value in self.results.items())
        body = [*(f"const {rendered(name)} = {rendered(text)};" for text, name in kept), f"return {{{given}}};"]
        return "".join(f"{pad}{line}\n" for line in body)


def of_rule(rule: Rule) -> str:
    """The function of a rule's numbers. RuleError, with the line, for what JavaScript cannot repeat."""
    trace = Trace(SPELLING)
    with refusing(rule.name, rule.per_step):
        step = trace.symbol("t$")
        carried = [trace.symbol(f"c$.{name}") for name in rule.carried]
        settings = {name: setting_symbol(trace, name, each.default) for name, each in rule.hyperparameters.items()}
        per_step = symbolic(rule.per_step)
        return f"(t$, c$, h$) => {{\n{Recorded(trace, lambda: per_step(step, *carried, **settings)).body()}  }}"


def of_group(function: Callable[[Mapping[str, Any]], Any]) -> str:
    """A function of a group's settings, as stages have them: numbers by name, or one as `on`."""
    trace = Trace(SPELLING)
    defaults = {name: each.default for name, each in SHARED.items() if not isinstance(each.default, str)}
    group = {name: setting_symbol(trace, name, default) for name, default in {**defaults, "lr": 0.0}.items()}

    def run() -> Mapping[str, Any]:
        given = function(group)
        return given if isinstance(given, dict) else {"on": given}

    return f"(h$) => {{\n{Recorded(trace, run).body()}  }}"
