"""One step of a rule by its own lines: each line's text as it was written, and a program that tells each line's value.

The program is the one that steps, in double precision, with a note after each line; and `per_step` with all that it
gave a name to, not only what it returns.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import FrameType
from typing import Any

from thalweg.engines.javascript import element, scalars
from thalweg.engines.javascript.element import Loop, Value
from thalweg.engines.javascript.names import safe
from thalweg.engines.javascript.precision import PRECISIONS
from thalweg.engines.trace import Symbol, Trace, symbolic
from thalweg.rule.definition import Rule
from thalweg.rule.equations import Equations

DOUBLE = next(each for each in PRECISIONS if not each.narrow)


@cache
def runtime() -> str:
    """`trace(run, i)`: the coming step of one coordinate, line by line."""
    return files("thalweg.engines.javascript").joinpath("traced.js").read_text(encoding="utf-8")


def script(rules: Iterable[Rule]) -> str:
    """What `trace` needs of these rules, laid beside their programs, and `trace`."""
    return "\n".join([*(f"RULES[{json.dumps(rule.name)}].traced = {of_rule(rule)};" for rule in rules), runtime()])


def of_rule(rule: Rule) -> str:
    """What `trace` needs of a rule, as an object of JavaScript."""
    lines = {
        "step": [[name, text] for name, text in step_lines(rule)],
        "element": [[name, f"{name} = {ast.unparse(expression)}"] for name, expression in rule.element.assignments],
    }
    names = json.dumps([rule.element.parameter, rule.element.gradient])
    return f"{{\n  tensors: {names},\n  lines: {json.dumps(lines)},\n  named: {_named(rule)},\n" + (
        f"  element: {_noted(rule.element)},\n}}"
    )


class _Noted(Loop):
    """The equations' loop with a note of each value."""

    def assign(self, name: str, value: Value) -> None:
        super().assign(name, value)
        self.lines.append(f"note$({json.dumps(name)}, {self.values[name].text});")


def _noted(equations: Equations) -> str:
    """The function of one coordinate: of its numbers by letter, and the rule's numbers."""

    def write(loop: Loop) -> list[str]:
        made = [line for line in loop.lines if not line.startswith("note$(")]
        names = [safe(name) for name in equations.tensors]
        local = sorted({line.split(" ", 1)[0] for line in made} - set(names))
        declared = [*(f"{name} = at$.{letter}" for name, letter in zip(names, equations.tensors, strict=True)), *local]
        return [
            *(f"const {name} = {expression};" for expression, name in loop.constants.items()),
            f"let {', '.join(declared)};",
            *loop.lines,
        ]

    return f"(at$, N$, note$) => {{\n{element.branches(equations, DOUBLE, {}, write, '    ', _Noted)}  }}"


def _named(rule: Rule) -> str:
    """The function of all numbers that `per_step` gives a name to; what a way through it never names is NaN there."""
    trace = Trace(scalars.SPELLING)
    step = trace.symbol("t$")
    carried = [trace.symbol(f"c$.{name}") for name in rule.carried]
    settings = {name: scalars.setting_symbol(trace, name, each.default) for name, each in rule.hyperparameters.items()}
    names = [name for name, _ in step_lines(rule) if name.isidentifier()]
    function = symbolic(rule.per_step)

    def run() -> Mapping[str, Any]:
        returned, local = _watched(function, step, *carried, **settings)
        known = {**local, **returned}
        return {name: value if _is_number(value := known.get(name)) else trace.symbol("NaN") for name in names}

    return f"(t$, c$, h$) => {{\n{scalars.Recorded(trace, run).body()}  }}"


def _is_number(value: object) -> bool:
    return isinstance(value, (Symbol, int, float)) and not isinstance(value, bool)


def _watched(function: Callable[..., Any], *given: Any, **named: Any) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """What a function returns, and its variables as it returned."""
    variables: dict[str, Any] = {}

    def watch(frame: FrameType, event: str, value: Any) -> None:
        if event == "return" and frame.f_code is function.__code__:
            variables.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        return function(*given, **named), variables
    finally:
        sys.setprofile(before)


def step_lines(rule: Rule) -> list[tuple[str, str]]:
    """Of `per_step` each assignment and each number that it works out as it returns: its name and its text."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(rule.per_step)))
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return list(_assigned(definition.body, ""))


def _assigned(body: list[ast.stmt], condition: str) -> Iterator[tuple[str, str]]:
    for node in body:
        if isinstance(node, ast.If):
            yield from _assigned(node.body, f"if {ast.unparse(node.test)}: ")
            yield from _assigned(node.orelse, "else: ")
        elif isinstance(node, ast.Assign):
            yield ast.unparse(node.targets[0]), condition + ast.unparse(node)
        elif isinstance(node, ast.AugAssign):
            yield ast.unparse(node.target), condition + ast.unparse(node)
        elif isinstance(node, ast.Return):
            yield from _returned(node.value, condition)


def _returned(value: ast.expr | None, condition: str) -> Iterator[tuple[str, str]]:
    given: list[tuple[Any, ast.expr]] = []
    if isinstance(value, ast.Dict):
        given = [(ast.literal_eval(key), item) for key, item in zip(value.keys, value.values, strict=True) if key]
    elif isinstance(value, ast.Call):
        given = [(keyword.arg, keyword.value) for keyword in value.keywords]
    for name, item in given:
        if name and not (isinstance(item, ast.Name) and item.id == name):
            yield name, f"{condition}{name} = {ast.unparse(item)}"
