"""What is typed on the command line: a class (`torch.optim.Adam`, `my_file.py:Class`) and settings (`lr=0.1`)."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

ALLOWED = "package.module.Class, package.module:Class or path/to/my_file.py:Class"


def find(name: str) -> type[torch.optim.Optimizer]:
    """The class of this name.

    Raises:
        ValueError: there is none, or it is no `torch.optim.Optimizer`.
    """
    where, colon, attribute = name.partition(":")
    if not colon:
        where, _, attribute = name.rpartition(".")
    if not where or not attribute:
        raise ValueError(f"optimizer: got {name!r}; must be {ALLOWED}")
    if where.endswith(".py"):
        where = _beside(Path(where))
    found: object = _module(where, name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"optimizer: {where} has no {part!r}{hint}")
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise ValueError(f"optimizer: {name} is {found!r}; must be a subclass of torch.optim.Optimizer")
    return found


def _beside(path: Path) -> str:
    if not path.exists():
        raise ValueError(f"optimizer: no file {path}; must be {ALLOWED}")
    sys.path.insert(0, str(path.resolve().parent))
    return path.stem


def _module(where: str, name: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise ValueError(f"optimizer: {name}: {error}; must be {ALLOWED}") from error
    except Exception as error:
        raise ValueError(f"optimizer: importing {where} raises {type(error).__name__}: {error}") from error


def address(cls: type) -> str | None:
    """The name under which a fresh process finds the class; None for one of a script, or made inside a function."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__ == "__main__" or "<locals>" in name:
        return None
    try:
        return name if find(name) is cls else None
    except ValueError:
        return None


def settings(typed: Iterable[str]) -> dict[str, Any]:
    """Settings typed as NAME=VALUE; a value that is no Python literal is a word.

    Raises:
        ValueError: without a name or a value.
    """
    found: dict[str, Any] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier() and value):
            raise ValueError(f"set: got {text!r}; must be NAME=VALUE, such as momentum=0.9")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found
