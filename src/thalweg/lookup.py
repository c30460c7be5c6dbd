"""Optimizers as they are typed: `adam`, `adam(eps=1e-3)`, `torch.optim.SGD(momentum=0.9)`, `my_file.py:Class`."""

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


def listed(text: str) -> list[str]:
    """What stands between commas; those inside brackets do not part.

    >>> listed("sgd, adam(betas=(0.9, 0.99)),radam")
    ['sgd', 'adam(betas=(0.9, 0.99))', 'radam']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def apart(text: str) -> tuple[str, dict[str, Any]]:
    """A name and the settings in the brackets after it.

    >>> apart("torch.optim.SGD(momentum=0.9, nesterov=True)")
    ('torch.optim.SGD', {'momentum': 0.9, 'nesterov': True})

    Raises:
        ValueError: the brackets hold something else than name=value.
    """
    where, bracket, _ = text.partition("(")
    if not bracket:
        return text.strip(), {}
    try:
        call = ast.parse("f" + text[len(where) :].strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(each.arg is None for each in call.keywords):
            raise ValueError
        return where.strip(), {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
    except (SyntaxError, ValueError):
        raise ValueError(f"got {text!r}; the brackets must hold name=value, with plain values") from None


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """A hint to put behind a message, of the nearest, at most so many; empty where nothing known is like the name.

    >>> did_you_mean("adma", ["adamax", "adam", "sgd"]), did_you_mean("zzz", ["adam"])
    ("; did you mean 'adam'?", '')
    >>> did_you_mean("AdamW", ["Adam", "adamw"])
    "; did you mean 'adamw'?"
    """
    each, letters = list(known), sorted(name)
    if same := [one for one in each if one.lower() == name.lower()]:
        return f"; did you mean {same[0]!r}?"
    near = difflib.get_close_matches(name, each, n=5) or difflib.get_close_matches(name.lower(), each, n=5)
    near.sort(key=lambda one: sorted(one) != letters)  # letters that changed places, before a word that goes on
    shown = [repr(one) for one in near[:most]]
    return f"; did you mean {' or '.join(filter(None, [', '.join(shown[:-1]), shown[-1]]))}?" if near else ""


def must_be(name: object, known: Iterable[str], last: str = ", ") -> str:
    """What is allowed, to put behind "got 'this'", with a hint where something of it is like what was typed.

    >>> must_be("quik", ["quick", "standard"]), must_be(3, ["quick", "standard"], " or ")
    ("; did you mean 'quick'? It must be quick, standard", '; must be quick or standard')
    """
    allowed = list(known)
    near = did_you_mean(name, allowed) if isinstance(name, str) else ""
    text = last.join([", ".join(allowed[:-1]), allowed[-1]]) if len(allowed) > 1 else allowed[0]
    return f"{near} It must be {text}" if near else f"; must be {text}"


def find(name: str, argument: str = "optimizer") -> type[torch.optim.Optimizer]:
    """The class of this name.

    Raises:
        ValueError: there is none, or it is no `torch.optim.Optimizer`.
    """
    where, colon, attribute = name.partition(":")
    if not colon:
        where, _, attribute = name.rpartition(".")
    if not where or not attribute:
        raise ValueError(f"{argument}: got {name!r}; must be {ALLOWED}")
    if where.endswith(".py"):
        where = _beside(Path(where), argument)
    found: object = _module(where, name, argument)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{argument}: {where} has no {part!r}{_classes(part, found)}")
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        made = "; of a rule thalweg.optimizer(rule) makes one" if type(found).__name__ == "Rule" else ""
        kind = getattr(found, "__name__", f"a {type(found).__name__}")
        raise ValueError(f"{argument}: {name} is {kind}; must be a subclass of torch.optim.Optimizer{made}")
    return found


def _classes(name: str, where: object) -> str:
    """The optimizers there, the nearest one first."""
    there = [each for each, value in vars(where).items() if not each.startswith("_") and _is_optimizer(value)]
    if not there:
        return "; it has no class of torch.optim.Optimizer: write one in it, or name another place"
    near = did_you_mean(name, there)
    return f"{near} Its optimizers are {', '.join(there)}" if near else f"; its optimizers are {', '.join(there)}"


def _is_optimizer(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and value is not torch.optim.Optimizer


def _beside(path: Path, argument: str) -> str:
    if not path.exists():
        raise ValueError(f"{argument}: no file {path}; must be {ALLOWED}")
    sys.path.insert(0, str(path.resolve().parent))
    return path.stem


def _module(where: str, name: str, argument: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise ValueError(f"{argument}: {name}: {error}; must be {ALLOWED}") from error
    except Exception as error:
        raise ValueError(f"{argument}: importing {where} raises {type(error).__name__}: {error}") from error
