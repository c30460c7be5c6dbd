"""The text that a function was compiled from, which need not be what its file says by now.

A kernel is made from text, and `reference` runs the function: both must say the same. So a text counts only where
compiling it again gives the function's own code. Lines inserted above change nothing; a definition that was edited
after the import is refused.
"""

from __future__ import annotations
import __future__

import ast
import linecache
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_
from types import CodeType
from typing import Any

FUTURE = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))
WHERE = "a file, a module in a zip, a notebook's cell, or the prompt of Python 3.13 or newer"


class NoText(ValueError):
    """A function whose text is not at hand, or has changed since; says what to do."""


@dataclass(frozen=True)
class Text:
    """A definition: its lines, its tree, and the file in which the tree's line numbers count."""

    lines: str
    tree: ast.FunctionDef
    file: str
    whole: str


def text_of(function: Callable[..., Any]) -> Text:
    """The text of a plain function. NoText where there is none that compiles to it."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or code.co_name == "<lambda>":
        raise NoText("an equation is a plain function made with def")
    scope = getattr(function, "__globals__", {})
    seen = False
    for whole in _texts(code.co_filename, scope):
        for tree, compiled in _definitions(whole, code.co_filename, code.co_flags & FUTURE):
            if tree.name != code.co_name:
                continue
            seen = True
            if _bare(compiled) == _bare(code):
                return Text(_lines(whole, tree), tree, code.co_filename, whole)
    if seen:
        raise NoText(
            f"{code.co_filename} no longer holds the text that was imported: {code.co_name} was edited since. Import "
            "it again (a new process, or importlib.reload) and make the rule from that"
        )
    raise NoText(
        f"its source cannot be read; define it with def in {WHERE}. What was given to exec() has no text, unless "
        "linecache.cache holds it under the name of the file that it was compiled with"
    )


def _texts(file: str, scope: dict[str, Any]) -> Iterator[str]:
    """What the file may have said: as it was first read, then as it is now."""
    remembered = "".join(linecache.getlines(file, scope))
    if remembered:
        yield remembered
    entry = linecache.cache.pop(file, None)
    try:
        now = "".join(linecache.getlines(file, scope))
    finally:
        if entry is not None:
            linecache.cache[file] = entry
    if now and now != remembered:
        yield now


@lru_cache(maxsize=16)
def _definitions(whole: str, file: str, flags: int) -> tuple[tuple[ast.FunctionDef, CodeType], ...]:
    """Every function that a text defines, with its compiled code; none where the text is no Python."""
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as a notebook's cell may
    try:
        tree = compile(whole, file, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        module = compile(tree, file, "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError):
        return ()
    codes = {(code.co_name, code.co_firstlineno): code for code in _within(module)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            place = (node.name, _first_line(node))
            if place in codes:
                found.append((node, codes[place]))
    return tuple(found)


def _within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _within(constant)


def _bare(code: CodeType) -> CodeType:
    """The code without its place in a file."""
    constants = tuple(_bare(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=constants)


def _lines(whole: str, tree: ast.FunctionDef) -> str:
    return textwrap.dedent("".join(whole.splitlines(keepends=True)[_first_line(tree) - 1 : tree.end_lineno]))


def _first_line(tree: ast.FunctionDef) -> int:
    """With its decorators, as the compiled code counts."""
    return min([tree.lineno, *(decorator.lineno for decorator in tree.decorator_list)])
