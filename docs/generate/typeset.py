"""Equations as MathML, which browsers draw without a script: from a rule's code, and from its paper's letters."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from html import escape
from typing import Any

from latex2mathml.converter import convert

GREEK = ("alpha", "beta", "gamma", "eta", "theta", "lambda", "mu", "nu", "phi", "psi", "rho", "tau", "Pi", "eps")
LETTERS = {name: rf"\{name}" for name in GREEK} | {"eps": r"\varepsilon"}
WORDS = {"exp": r"\exp", "log": r"\log", "tanh": r"\tanh", "sign": r"\operatorname{sign}"}
SYMBOLS = {"<-": r"\leftarrow ", "^T": r"^{\top}", "...": r"\dots ", "<=": r"\le ", ">=": r"\ge ", "*": r"\odot "}


def code(function: Callable[..., Any]) -> str:
    """The assignments of a `per_element`, a line each."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(tree, ast.FunctionDef)
    lines = []
    for line in tree.body:
        if isinstance(line, ast.Assign):
            lines.append(rf"{expression(line.targets[0])} \leftarrow {expression(line.value)}")
    return "\n".join(map(block, lines))


def expression(node: ast.expr) -> str:
    """LaTeX of what an equation may hold."""
    match node:
        case ast.Name(name):
            return letter(name)
        case ast.Constant(value):
            return f"{value:g}" if isinstance(value, float) else str(value)
        case ast.UnaryOp(ast.USub(), operand):
            return f"-{grouped(operand)}"
        case ast.BinOp(left, ast.Add(), right):
            return f"{expression(left)} + {expression(right)}"
        case ast.BinOp(left, ast.Sub(), right):
            return f"{expression(left)} - {grouped(right)}"
        case ast.BinOp(left, ast.Mult(), right):
            return rf"{grouped(left)} \, {grouped(right)}"
        case ast.BinOp(left, ast.Div(), right):
            return rf"\frac{{{expression(left)}}}{{{expression(right)}}}"
        case ast.Compare(left, [operator], [right]):
            return f"{expression(left)} {COMPARED[type(operator)]} {expression(right)}"
        case ast.Call(ast.Name("sqrt"), [x]):
            return rf"\sqrt{{{expression(x)}}}"
        case ast.Call(ast.Name("abs"), [x]):
            return rf"|{expression(x)}|"
        case ast.Call(ast.Name("where"), [condition, then, otherwise]):
            first = rf"{expression(then)} & \text{{if }} {expression(condition)}"
            return rf"\begin{{cases}} {first} \\ {expression(otherwise)} & \text{{otherwise}} \end{{cases}}"
        case ast.Call(ast.Name(name), arguments):
            word = WORDS.get(name, rf"\{name[:3]}" if name in ("maximum", "minimum") else rf"\operatorname{{{name}}}")
            return rf"{word}({', '.join(map(expression, arguments))})"
        case ast.Tuple(elements):
            return ", ".join(map(expression, elements))
    return rf"\text{{{ast.unparse(node)}}}"


COMPARED = {ast.Gt: ">", ast.GtE: r"\ge", ast.Lt: "<", ast.LtE: r"\le", ast.Eq: "=", ast.NotEq: r"\ne"}


def grouped(node: ast.expr) -> str:
    """In parentheses where it is a sum."""
    text = expression(node)
    return f"({text})" if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)) else text


def letter(name: str) -> str:
    """beta1 as a beta with an index; m_hat with its hat; a longer word upright."""
    stem, _, index = name.partition("_")
    parts = re.fullmatch(r"([A-Za-z]+?)(\d*)", stem)
    if parts is None:
        return upright(name)
    base, digit = parts.groups()
    if base not in LETTERS and len(base) > 1:
        return upright(name)
    text = LETTERS.get(base, base)
    if index == "hat" or index.startswith("hat_"):
        text, index = rf"\hat{{{text}}}", index[4:]
    lower = digit + ("," if digit and index else "") + index
    return f"{text}_{{{lower}}}" if lower else text


def upright(name: str) -> str:
    return rf"\text{{{name}}}".replace("_", r"\_")


def paper(text: str) -> str:
    """A rule's docstring: its first paragraph and the indented ones are equations, the others are prose."""
    made = []
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        if number == 0 or paragraph.startswith("    "):
            made += [block(equation(line)) for line in paragraph.splitlines()]
        else:
            made.append("\n" + " ".join(map(str.strip, paragraph.splitlines())) + "\n")
    return "\n".join(made)


def equation(line: str) -> str:
    """LaTeX of a line in the paper's letters; words between equations stay words."""
    columns = re.split(r"\s{2,}", line.strip())
    return r" \qquad ".join(formula(column) for column in columns)


def formula(text: str) -> str:
    words = re.findall(r"(?<![\w])[A-Za-z]{3,}(?![\w])", text)
    known = {*GREEK, "sqrt", "max", "min", "sign", "clip", "hat", "inf", "grad", "where", "ln", "else"}
    if not re.search(r"=|<|>", text) or len([each for each in words if each not in known]) > 1:
        return rf"\text{{{text}}}".replace("_", r"\_").replace("^", r"\^{}")
    return converted(text)


TOKEN = re.compile(
    r"sqrt\(|\|\||<-|\^T|\.\.\.|<=|>=|\*"
    r"|_\{[^}]*\}|_\([a-z]\)|\^\{[^}]*\}|\^\([^)]*\)|\^[A-Za-z0-9_]+|(?<=\|)_[A-Za-z0-9]"
    r"|[A-Za-z]+[0-9]*(?:_(?!\{|\()[A-Za-z0-9]+)*(?:,(?:t(?:-1)?|0))?|\d+(?:\.\d+)?|\s+|."
)


def converted(text: str) -> str:
    out, closing, depth = [], [], 0
    for [token] in ((match[0],) for match in TOKEN.finditer(text)):
        if token == "sqrt(":
            out.append(r"\sqrt{")
            depth += 1
            closing.append(depth)
        elif token in "([" or token in ")]":
            depth += 1 if token in "([" else 0
            if token in ")]":
                out.append("}" if token == ")" and closing and closing[-1] == depth else token)
                if closing and closing[-1] == depth:
                    closing.pop()
                depth -= 1
            else:
                out.append(token)
        elif token in SYMBOLS:
            out.append(SYMBOLS[token])
        elif token.startswith("^"):
            out.append(f"^{{{converted(token[1:].strip('{}'))}}}")
        elif token.startswith("_"):
            out.append(f"_{{{converted(token[1:].strip('{}'))}}}")
        elif token[0].isalpha():
            out.append(paper_letter(token))
        elif token.isspace():
            out.append(" ")
        else:
            out.append({"<": r"\langle ", "|": "|"}.get(token, token) if token == "|" else escape_latex(token))
    return "".join(out) + "}" * len(closing)


def escape_latex(token: str) -> str:
    return "\\" + token if token in "{}%&#$" else token


def paper_letter(token: str) -> str:
    """theta_t, m_hat_t, beta1, max: with an index where there is one."""
    if token in ("max", "min", "ln", "exp", "log"):
        return "\\" + token + " "
    stem, *rest = token.split("_")
    parts = re.fullmatch(r"([A-Za-z]+?)(\d*)", stem)
    assert parts is not None
    base, digit = parts.groups()
    plain = len(base) > 1 and base not in LETTERS
    if plain and rest == ["t"]:
        return rf"\text{{{base}}}_{{t}}"
    if plain and base != "ax":
        return upright(token)
    head = LETTERS.get(base, base)
    if rest and rest[0] == "hat":
        head, rest = rf"\hat{{{head}}}", rest[1:]
    index = [
        LETTERS.get(each, r"\infty" if each == "inf" else rf"\text{{{each}}}" if len(each) > 2 else each)
        for each in rest
    ]
    lower = ",".join([digit] * bool(digit) + index)
    return f"{head}_{{{lower}}}" if lower else head + " "


def block(latex: str) -> str:
    """A line of mathematics on a page; what was asked for stands beside, for who reads by ear."""
    return f'<div class="equation" title="{escape(latex, quote=True)}">{convert(latex, display="block")}</div>'
