"""`per_element` as a loop of JavaScript with the bits of `reference`: each operation is rounded as torch does it.

An equation mixes numbers, which Python works out in double precision, with tensors. Where the two meet, torch rounds
the number to the tensor's dtype; a number over a tensor is the tensor's reciprocal times the number; and of two numbers
that a tensor chooses between, `where` makes a tensor in double precision. A comparison of numbers alone is no `where`
at all but a way through the equations, and makes a loop of its own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from thalweg.engines.javascript.names import number, safe
from thalweg.engines.javascript.precision import Precision
from thalweg.rule.equations import Equations

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.USub: "-", ast.UAdd: "+",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
CONSTANT = re.compile(r"\bk\d+\$")
ROUNDED = ("sqrt", "exp", "log", "tanh")


@dataclass(frozen=True)
class Value:
    """An operand: its text, and whether it is a 'number', a 'tensor' of the dtype, or a 'wide' one of doubles."""

    text: str
    kind: str


class Undecided(Exception):
    """A comparison of numbers whose answer is not chosen yet."""


class Loop:
    """One way through the equations."""

    def __init__(self, equations: Equations, precision: Precision, answers: Mapping[str, bool]) -> None:
        self.precision, self.answers, self.kept = precision, answers, equations.tensors
        self.values: dict[str, Value] = {name: Value(safe(name), "tensor") for name in equations.tensors}
        self.values |= {name: Value(f"N$.{name}", "number") for name in equations.numbers}
        self.constants: dict[str, str] = {}
        self.lines: list[str] = []
        for name, expression in equations.assignments:
            self.assign(name, self.visit(expression))

    def assign(self, name: str, value: Value) -> None:
        if value.kind == "number" and name not in self.kept:
            self.values[name] = Value(self.constant(value.text), "number")
            return
        kind = "tensor" if value.kind == "number" else value.kind
        self.lines.append(f"{safe(name)} = {self.met(value, kind)};")
        self.values[name] = Value(safe(name), kind)

    def constant(self, expression: str) -> str:
        """A number's name: worked out before the loop."""
        return self.constants.setdefault(expression, f"k{len(self.constants)}$")

    def met(self, value: Value, kind: str) -> str:
        """An operand beside others of which the widest is of that kind."""
        if value.kind != "number" or kind == "number":
            return value.text
        narrow = kind == "tensor" and self.precision.narrow
        return self.constant(f"$f({value.text})" if narrow else value.text)

    def result(self, expression: str, kind: str) -> Value:
        return Value(self.precision.round(expression) if kind == "tensor" else f"({expression})", kind)

    def visit(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            return self.values[node.id]
        if isinstance(node, ast.Constant):
            return Value(number(float(str(node.value))), "number")
        if isinstance(node, ast.UnaryOp):
            inner = self.visit(node.operand)
            return inner if isinstance(node.op, ast.UAdd) else Value(f"(-{inner.text})", inner.kind)
        if isinstance(node, ast.BinOp):
            return self.binary(node)
        assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "where":
            return self.where(node.args)
        return self.word(node.func.id, [self.visit(argument) for argument in node.args])

    def binary(self, node: ast.BinOp) -> Value:
        left, right = self.visit(node.left), self.visit(node.right)
        kind = widest(left, right)
        if isinstance(node.op, ast.Div) and left.kind == "number" and kind != "number":
            over = self.result(f"1 / {right.text}", kind)
            return self.result(f"{over.text} * {self.met(left, kind)}", kind)
        return self.result(f"{self.met(left, kind)} {OPERATORS[type(node.op)]} {self.met(right, kind)}", kind)

    def word(self, name: str, arguments: Sequence[Value]) -> Value:
        kind = widest(*arguments)
        own = ", ".join(self.met(value, kind) for value in tensors_first(arguments))
        if name in ROUNDED:
            return self.result(f"Math.{name}({own})", kind)
        return Value(f"Math.abs({own})" if name == "abs" else f"${name}({own})", kind)

    def where(self, arguments: Sequence[ast.expr]) -> Value:
        comparison = arguments[0]
        assert isinstance(comparison, ast.Compare)
        left, right = self.visit(comparison.left), self.visit(comparison.comparators[0])
        kind = widest(left, right)
        condition = f"{self.met(left, kind)} {OPERATORS[type(comparison.ops[0])]} {self.met(right, kind)}"
        then, otherwise = self.visit(arguments[1]), self.visit(arguments[2])
        if kind == "number":
            if condition not in self.answers:
                raise Undecided(condition, dict(self.constants))
            return then if self.answers[condition] else otherwise
        chosen = widest(then, otherwise)
        chosen = "wide" if chosen == "number" else chosen
        return Value(f"({condition} ? {self.met(then, chosen)} : {self.met(otherwise, chosen)})", chosen)


def widest(*values: Value) -> str:
    kinds = {value.kind for value in values}
    return next(kind for kind in ("wide", "tensor", "number") if kind in kinds)


def tensors_first(values: Sequence[Value]) -> list[Value]:
    """`maximum` of a number and a tensor clamps the tensor, whichever comes first."""
    return sorted(values, key=lambda value: value.kind == "number")


def loops(equations: Equations, precision: Precision, returns_gradient: bool = False) -> str:
    """The function that steps all elements: of parameter, gradient, states by letter and numbers by name."""
    parameter, gradient = safe(equations.parameter), safe(equations.gradient)
    arrays = [(parameter, "P$"), (gradient, "G$"), *((safe(name), f"S$.{name}") for name in equations.states)]
    kept = [*arrays[:2]] if returns_gradient else [arrays[0], *arrays[2:]]
    head = "".join(f"    const {name}$$ = {where};\n" for name, where in arrays)
    body = branches(equations, precision, {}, lambda loop: written(loop, arrays, kept), "    ")
    return f"(P$, G$, S$, N$) => {{\n{head}{body}  }}"


def branches(
    equations: Equations,
    precision: Precision,
    answers: Mapping[str, bool],
    write: Callable[[Loop], list[str]],
    pad: str,
    make: type[Loop] = Loop,
) -> str:
    """The loop, or one for each answer that numbers may give."""
    try:
        loop = make(equations, precision, answers)
    except Undecided as undecided:
        condition, constants = undecided.args
        both = [{**answers, condition: yes} for yes in (True, False)]
        inner = [branches(equations, precision, each, write, pad + "  ", make) for each in both]
        before = "".join(f"{pad}{line}\n" for line in needed(constants, condition))
        return f"{before}{pad}if ({condition}) {{\n{inner[0]}{pad}}} else {{\n{inner[1]}{pad}}}\n"
    return "".join(f"{pad}{line}\n" for line in write(loop))


def needed(constants: Mapping[str, str], by: str) -> list[str]:
    """Of these constants the lines that an expression needs."""
    kept: list[str] = []
    for text, name in reversed(list(constants.items())):
        if name in CONSTANT.findall(by):
            kept.append(f"const {name} = {text};")
            by += text
    return kept[::-1]


def written(loop: Loop, arrays: Sequence[tuple[str, str]], kept: Sequence[tuple[str, str]]) -> list[str]:
    assigned = list(dict.fromkeys(line.split(" ", 1)[0] for line in loop.lines))
    names = [name for name, _ in arrays]
    local = [name for name in assigned if name not in names]
    return [
        *(f"const {name} = {expression};" for expression, name in loop.constants.items()),
        f"for (let i$ = 0; i$ < {names[0]}$$.length; i$++) {{",
        f"  let {', '.join([*(f'{name} = {name}$$[i$]' for name in names), *local])};",
        *(f"  {line}" for line in loop.lines),
        *(f"  {name}$$[i$] = {name};" for name, _ in kept if name in assigned),
        "}",
    ]
