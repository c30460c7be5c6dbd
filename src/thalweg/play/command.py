"""What `thalweg play` does: the page, with rules of one's own, as a file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.engines import javascript
from thalweg.optimizers.factory import optimizer
from thalweg.rule.definition import Rule

ALLOWED = "FILE:NAME, such as my_rule.py:lion, or package.module:NAME"


def write(out: Path | None, rules: Sequence[str], model: Mapping[str, Any] | None = None) -> Path:
    """Write the page, to a temporary file where no other is named; its place. `model` is a `Landscape`'s block.

    Raises:
        ValueError: for what is not a rule, and RuleError, with its line, for a rule that JavaScript cannot say.
        OSError: where the file cannot be written.
    """
    from thalweg.play.page import html

    own = [entry(find(each)) for each in rules]
    names = [each.name for each in own]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"rule: two of yours are named {twice!r}; give one another, Rule(name=...), or leave one out")
    if out is not None and not out.parent.is_dir():
        raise ValueError(f"out: no folder {out.parent}")
    path = Path(tempfile.mkdtemp(prefix="thalweg-")) / "play.html" if out is None else out
    path.write_text(html([*own, *CATALOGUE.values()], model), encoding="utf-8")
    return path.resolve()


def entry(rule: Rule) -> Entry:
    """A rule as a contender, once it is known to run in the page; `my_lion` where the catalogue has a `lion`."""
    javascript.functions(rule)
    if rule.name in CATALOGUE:
        rule = replace(rule, name=f"my_{rule.name}")
    return Entry(rule.name, optimizer(rule), {}, rule)


def find(spec: str) -> Rule:
    """The rule of that name in a file or a module."""
    where, colon, name = spec.rpartition(":")
    if not colon or not name:
        raise ValueError(f"rule: got {spec!r}; must be {ALLOWED}")
    module = _file(Path(where)) if where.endswith(".py") else _module(where)
    found = getattr(module, name, None)
    rules: Sequence[Rule] = getattr(found, "rules", ())
    if isinstance(found, type) and len(rules) == 1:  # the class of one rule
        found = rules[0]
    if not isinstance(found, Rule):
        have = ", ".join(each for each, value in vars(module).items() if isinstance(value, Rule)) or "no rules"
        raise ValueError(f"rule: {where} has no thalweg.Rule {name!r}; it has {have}")
    return found


def _module(where: str) -> object:
    try:
        return importlib.import_module(where)
    except ImportError as error:
        raise ValueError(f"rule: {where}: {error}; must be {ALLOWED}") from None


def _file(path: Path) -> object:
    if not path.is_file():
        raise ValueError(f"rule: no file {path}; must be {ALLOWED}")
    name = f"thalweg_rule_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # rules read their own module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise ValueError(f"rule: {path}: {error}") from None
    finally:
        sys.path.pop(0)
    return module
