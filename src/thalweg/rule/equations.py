"""The text of an equation: read it, refuse what no engine could run, and part numbers from tensors.

An element function is a list of assignments. Whatever in it does not depend on a tensor (`1 - beta2`, a literal) is
worked out once a step in double precision and put in a row of numbers; only the rest becomes kernel code. So a
kernel never sees a double, and `1 - beta2` never suffers the rounding of a float32 0.999 (a relative error of 1e-5).
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from thalweg.rule.source_text import NoText, text_of
from thalweg.rule.words import WORDS


class RuleError(ValueError):
    """A rule that cannot be: says the file, the line and the reason."""


REFUSED = {
    ast.If: "a branch: every element takes the same path; use where(condition, a, b)",
    ast.IfExp: "a branch: every element takes the same path; use where(condition, a, b)",
    ast.For: "a loop: an equation acts on one element",
    ast.While: "a loop: an equation acts on one element",
    ast.BoolOp: "'and' / 'or' on tensors: nest where(...) instead",
    ast.AugAssign: "an assignment in place: write p = p - ... instead of p -= ...",
    ast.Attribute: "an attribute or method: use the words of thalweg.rule.words",
    ast.Subscript: "an index: an equation acts on one element",
    ast.Lambda: "a function inside an equation",
}
# What kernels call by name; all else of their own starts with two underscores.
KERNELS_OWN = frozenset(
    ["at", "at_bits", "stochastic", "carray", "math", "nearest", "number", "random_bits", "range", "tl", "widen"]
)
OPERATORS = (
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.USub,
    ast.UAdd,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Eq,
    ast.NotEq,
)


@dataclass(frozen=True)
class Equations:
    """What an element function says: its tensors, its numbers and its assignments in order."""

    parameter: str
    gradient: str
    states: tuple[str, ...]
    numbers: tuple[str, ...]
    assignments: tuple[tuple[str, ast.expr], ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        return (self.parameter, self.gradient, *self.states)


def read(function: Callable[..., Any], returns_gradient: bool = False) -> Equations:
    """The equations of an element function, checked.

    A rule returns p and its states; a stage (`returns_gradient`) hands (p, g) on.
    """
    return _Reader(function).read(returns_gradient)


class _Reader:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        try:
            self.text = text_of(function)
        except NoText as error:
            raise RuleError(f"{function!r}: {error}") from None
        self.definition = self.text.tree

    def refuse(self, node: ast.AST, reason: str) -> NoReturn:
        line = getattr(node, "lineno", self.definition.lineno)
        text = self.text.whole.splitlines()[line - 1].strip()
        raise RuleError(f"{self.text.file}:{line}: {reason}\n    {text}")

    def read(self, returns_gradient: bool) -> Equations:
        signature = self.definition.args
        if signature.vararg or signature.kwarg or signature.defaults or any(signature.kw_defaults):
            self.refuse(
                self.definition, "the tensors come first, the numbers after a bare *, with no defaults and no *args"
            )
        tensors = [argument.arg for argument in signature.posonlyargs + signature.args]
        numbers = [argument.arg for argument in signature.kwonlyargs]
        if len(tensors) < 2:
            self.refuse(self.definition, "the first two arguments are the parameter and its gradient")
        for name in [*tensors, *numbers]:
            self.check_name(self.definition, name)
        body = list(self.definition.body)
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body = body[1:]
        if not body or not isinstance(body[-1], ast.Return):
            self.refuse(body[-1] if body else self.definition, "the last line must return the new values")
        self.tensors = set(tensors)
        kept = {tensors[0], *tensors[2:]}
        assignments = self.check_assignments(body[:-1], {*tensors, *numbers}, kept)
        expected = tensors[:2] if returns_gradient else [tensors[0], *tensors[2:]]
        self.check_return(body[-1], expected)
        return Equations(tensors[0], tensors[1], tuple(tensors[2:]), tuple(numbers), tuple(assignments))

    def check_name(self, node: ast.AST, name: str) -> None:
        if name.startswith("_") or name in WORDS or name in KERNELS_OWN:
            self.refuse(
                node,
                f"{name!r} cannot be a name here: it is a word, one of a kernel's own, or starts with an underscore",
            )

    def depends(self, node: ast.expr) -> bool:
        """True where an expression holds a tensor, and not numbers alone."""
        return any(isinstance(part, ast.Name) and part.id in self.tensors for part in ast.walk(node))

    def check_assignments(
        self, body: Sequence[ast.stmt], known: set[str], kept: set[str]
    ) -> list[tuple[str, ast.expr]]:
        assignments = []
        for statement in body:
            if type(statement) in REFUSED:
                self.refuse(statement, f"an equation cannot hold {REFUSED[type(statement)]}")
            if (
                not isinstance(statement, ast.Assign)
                or len(statement.targets) != 1
                or not isinstance(statement.targets[0], ast.Name)
            ):
                self.refuse(statement, "an equation is a line of the form name = expression")
            name = statement.targets[0].id
            self.check_name(statement, name)
            self.check_expression(statement.value, known)
            if self.depends(statement.value):
                self.tensors.add(name)
            elif name in kept:
                self.refuse(statement, f"{name!r} would be one number for all elements; it must come from a tensor")
            else:
                self.tensors.discard(name)
            known = known | {name}
            assignments.append((name, statement.value))
        return assignments

    def check_expression(self, node: ast.expr, known: set[str]) -> None:
        if type(node) in REFUSED:
            self.refuse(node, f"an equation cannot hold {REFUSED[type(node)]}")
        if isinstance(node, ast.Name):
            if node.id not in known:
                self.refuse(node, f"{node.id!r} is not known here; the names are {', '.join(sorted(known))}")
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
                self.refuse(node, f"{node.value!r} is not a number")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            self.refuse(node, "a power: write g * g, or work the power of a number out in per_step")
        elif isinstance(node, (ast.BinOp, ast.UnaryOp)):
            if not isinstance(node.op, OPERATORS):
                self.refuse(node, "only + - * / and comparisons are equations' operators")
            operands = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.operand]
            for operand in operands:
                self.check_value(operand, known)
        elif isinstance(node, ast.Compare):
            if len(node.ops) != 1 or not isinstance(node.ops[0], OPERATORS):
                self.refuse(node, "a comparison has two sides and one of < <= > >= == !=")
            for operand in (node.left, node.comparators[0]):
                self.check_value(operand, known)
        elif isinstance(node, ast.Call):
            self.check_call(node, known)
        else:
            self.refuse(node, f"an equation cannot hold {ast.unparse(node)!r}")

    def check_value(self, node: ast.expr, known: set[str]) -> None:
        if isinstance(node, ast.Compare):
            self.refuse(node, "a comparison is not a number: it may only be the first argument of where")
        self.check_expression(node, known)

    def check_call(self, node: ast.Call, known: set[str]) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in WORDS:
            self.refuse(node, f"unknown word {name!r}; the words are {', '.join(sorted(WORDS))}")
        meaning = self.function.__globals__.get(name, getattr(builtins, name, None))
        if meaning is not WORDS[name] and meaning is not builtins.abs:
            self.refuse(node, f"{name!r} is not thalweg's word here: write 'from thalweg.rule.words import {name}'")
        expected = len(inspect.signature(WORDS[name]).parameters)
        if node.keywords or len(node.args) != expected:
            self.refuse(node, f"{name} takes {expected} plain argument{'s' * (expected > 1)}")
        arguments = list(node.args)
        if name == "where":
            if not isinstance(arguments[0], ast.Compare):
                self.refuse(node, "the first argument of where is a comparison, as in where(a > b, a, b)")
            self.check_expression(arguments.pop(0), known)
        for argument in arguments:
            self.check_value(argument, known)
        if name != "where" and not self.depends(node):
            self.refuse(node, f"{name} of numbers alone: work it out in per_step")

    def check_return(self, statement: ast.stmt, expected: list[str]) -> None:
        value = statement.value if isinstance(statement, ast.Return) else None
        elements = value.elts if isinstance(value, ast.Tuple) else [value]
        names = [element.id if isinstance(element, ast.Name) else "?" for element in elements]
        if names == expected:
            return
        missing = [name for name in expected if name not in names]
        reason = f"{missing[0]!r} is never returned" if missing else "the order differs from the arguments'"
        self.refuse(statement, f"{reason}: the last line must be 'return {', '.join(expected)}'")


class Program:
    """Equations in a row, as lines of kernel code and the row of numbers they need.

    `lines` use the last piece's tensor names, and `__s0`, `__s1`, ... for the numbers. `row(pieces)` works these out
    in double precision, from one dict of values a piece. `used` and `written`: the tensors that are read, stored.
    `staged`: how many lines stand before the last piece's.
    """

    def __init__(self, pieces: Sequence[Equations]) -> None:
        self.tensors = pieces[-1].tensors
        self.lines: list[str] = []
        self.formulas: list[str] = []
        self.words: set[str] = set()
        self.used: set[str] = set()
        assigned: set[str] = set()
        for index, piece in enumerate(pieces):
            self.staged = len(self.lines)  # where the rule's own lines begin, after the stages'
            assigned |= self._add(index, piece)
        gradient = self.tensors[1]
        self.written = tuple(name for name in self.tensors if name in assigned and name != gradient)
        self.row = self._compile()

    def explain(self, index: int) -> str:
        """The formula behind `__s<index>`, as the rule's author wrote it."""
        return re.sub(r"\b_\d+_", "", self.formulas[index])

    def _add(self, index: int, piece: Equations) -> set[str]:
        """Add a piece's lines; the names that they assign."""
        assigned = set()
        own = dict(zip(piece.tensors[:2], self.tensors[:2], strict=True))
        tensors = own | {name: name for name in piece.states}
        numbers: dict[str, ast.expr] = {name: ast.Name(f"_{index}_{name}", ast.Load()) for name in piece.numbers}
        for name, expression in piece.assignments:
            split = _Split(self, tensors, numbers)
            if split.is_number(expression):
                numbers[name] = split.inline(expression)
                tensors.pop(name, None)
                continue
            text = ast.unparse(split.visit(_copy(expression)))
            numbers.pop(name, None)
            tensors[name] = own.get(name, name)
            self.lines.append(f"{tensors[name]} = {text}")
            assigned.add(tensors[name])
        return assigned

    def number(self, expression: ast.expr) -> str:
        """The name of a number in the row, adding it when it is new."""
        formula = ast.unparse(expression)
        if formula not in self.formulas:
            self.formulas.append(formula)
        return f"__s{self.formulas.index(formula)}"

    def _compile(self) -> Callable[[Sequence[Mapping[str, float]]], tuple[float, ...]]:
        """The row as one function of the pieces' values: made once, called in every step."""
        items = "".join(f"({formula}), " for formula in self.formulas)
        looked_up = re.sub(r"\b_(\d+)_(\w+)", r'pieces[\1]["\2"]', items)
        function: Callable[[Sequence[Mapping[str, float]]], tuple[float, ...]] = eval(f"lambda pieces: ({looked_up})")
        return function


class _Split(ast.NodeTransformer):
    """Puts every number of an expression in the program's row; leaves the tensors."""

    def __init__(self, program: Program, tensors: Mapping[str, str], numbers: Mapping[str, ast.expr]) -> None:
        self.program, self.tensors, self.numbers = program, tensors, numbers

    def is_number(self, node: ast.expr) -> bool:
        return not any(
            isinstance(part, (ast.Call, ast.Compare)) or (isinstance(part, ast.Name) and part.id in self.tensors)
            for part in ast.walk(node)
        )

    def inline(self, node: ast.expr) -> ast.expr:
        numbers = self.numbers

        class Inline(ast.NodeTransformer):
            def visit_Name(self, name: ast.Name) -> ast.expr:
                return _copy(numbers[name.id])

        expression: ast.expr = Inline().visit(_copy(node))
        return expression

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.expr) and self.is_number(node):
            return ast.Name(self.program.number(self.inline(node)), ast.Load())
        return super().visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        self.program.used.add(self.tensors[node.id])
        return ast.Name(self.tensors[node.id], ast.Load())

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        self.program.words.add(node.func.id)
        return ast.Call(node.func, [self.visit(argument) for argument in node.args], [])


def _copy(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body
