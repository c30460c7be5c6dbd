"""The page: one file with the rules' programs, the surfaces and the screens, that asks the network for nothing."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.engines.javascript import program, traced
from thalweg.play import scenery, schedules
from thalweg.rule.equations import RuleError
from thalweg.rule.hyperparameters import Hyperparameter, Valid

__all__ = ["html"]

LANGUAGES = ("en", "zh")
ENDS = re.compile("<(?=/script|!--)", re.IGNORECASE)  # only ever in a string
FOLDER = re.compile(r"\S*[/\\](?=[\w.]+:\d+: )")  # of a file that an error names with its line


def html(entries: Iterable[Entry] | None = None, model: Mapping[str, Any] | None = None) -> str:
    """The whole page as text.

    Args:
        entries: the optimizers that can race; the whole catalogue by default. Those whose rule cannot be translated
            are named in the page with the reason.
        model: what the screen "Your model" shows; see `page/model.js`.
    """
    entries = list(CATALOGUE.values() if entries is None else entries)
    parts = {
        "style": _style(_text("style.css")),
        "words": _json({language: json.loads(_text(f"words.{language}.json")) for language in LANGUAGES}),
        "data": "\n".join(
            f'<script type="application/json" id="{name}">{_json(value)}</script>'
            for name, value in {"schedules": schedules.factors(), "bits": same_bits(), "model": model}.items()
            if value is not None
        ),
        "engine": _script(engine(entries)),
        "pixels": _script(_text("pixels.js")),
        "screens": _script('"use strict";\n' + "\n".join(_text(name) for name in _text("order.txt").split())),
    }
    page = _text("page.html")
    for name, part in parts.items():
        page = page.replace(f"<!--{name}-->", part)
    return page


def engine(entries: Iterable[Entry]) -> str:
    """Rules, surfaces and what runs them, as one script that needs no document: workers run it too."""
    known = [entry for entry in entries if entry.rule is not None]
    reasons = {entry.name: _missing(entry) for entry in known}
    there = [entry.rule for entry in known if entry.rule is not None and reasons[entry.name] is None]
    lines = [program.script(there), traced.script(there)]
    for entry in known:
        rule = entry.rule
        assert rule is not None
        facts = json.dumps(described(entry) | {"missing": reasons[entry.name]}, separators=(",", ":"))
        lines.append(f"RULES[{json.dumps(rule.name)}] = {{...RULES[{json.dumps(rule.name)}], ...{facts}}};")
    return "\n".join([*lines, scenery.javascript()])


def same_bits() -> dict[str, Any]:
    """How far each rule's runs in the page are from those of `reference`: `benchmarks/same_bits.py`."""
    made: dict[str, Any] = json.loads((files("thalweg.play") / "bits.json").read_text(encoding="utf-8"))
    return made


def absent() -> list[tuple[str, str]]:
    """The catalogue's rules that are not in the page, and why."""
    reasons = [(entry.name, _missing(entry)) for entry in CATALOGUE.values() if entry.rule is not None]
    return [(name, reason) for name, reason in reasons if reason is not None]


def _missing(entry: Entry) -> str | None:
    """Why a rule is not in the page; None where it is."""
    rule = entry.rule
    assert rule is not None
    if not entry.takes_dense:
        return "it takes sparse gradients alone"
    assigned = {name for name, _ in rule.element.assignments}
    given = [name for name in rule.states if name not in assigned and name not in rule.initial]
    if given:
        return f"{', '.join(given)} is given to it from outside: second derivatives, which the page has not"
    try:
        program.functions(rule)
    except RuleError as error:
        return FOLDER.sub("", str(error))
    return None


def described(entry: Entry) -> dict[str, Any]:
    """What the page says of a rule."""
    rule = entry.rule
    assert rule is not None
    return {
        "name": rule.name,
        "title": rule.title,
        "source": rule.source,
        "departures": rule.departures,
        "weight_decay": rule.weight_decay,
        "torch_class": [getattr(entry.optimizer, "__name__", ""), dict(entry.settings)],
        "hyperparameters": [_hyperparameter(each) for each in rule.hyperparameters.values()],
        "measuring": inspect.getsource(rule.per_tensor) if rule.per_tensor else "",
    }


def _hyperparameter(each: Hyperparameter) -> dict[str, Any]:
    limits = each.rule if isinstance(each.rule, Valid) else None
    kind = "rate" if each.name == "lr" else "flag" if limits is None else limits.message.split()[1]
    return {
        "name": each.name,
        "kind": {"beta": "betas"}.get(kind, kind),
        "default": None if each.default == math.inf else each.default,
        "minimum": _finite(limits.low) if limits else None,
        "maximum": _finite(limits.high) if limits else None,
        "below": bool(limits and limits.open_above),  # the maximum itself is not allowed
        "search": each.search,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _json(value: Any) -> str:
    """As a block of the page: nothing in it ends the block or opens a comment."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _style(text: str) -> str:
    """A style sheet without its comments, and without blanks where none is needed."""
    return re.sub(r"(?<=[{};:,])\s+", "", re.sub(r"\s*/\*.*?\*/\s*", "\n", text, flags=re.DOTALL))


def _script(text: str) -> str:
    """Without indents and lines of comment alone, a quarter of it; what would end it, in a user's text, is escaped."""
    text = ENDS.sub(r"\\u003c", text)
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _text(name: str) -> str:
    return (files("thalweg.play") / "page" / name).read_text(encoding="utf-8")
