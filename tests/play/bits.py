"""The table of `bits.json`, worked out anew: how far the page's runs of a rule are from those of `reference`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from play.engine import by_reference, in_javascript

from thalweg.catalogue import Entry
from thalweg.engines import javascript
from thalweg.play import race

PRECISIONS = ("float32", "float64")
SURFACES = ("saddle", "rosenbrock", "noisy")
STEPS, MANY = 300, 50
# Functions whose last bit is the library's: no standard fixes it.
FREE = {"power": r"\$power\(", **{name: rf"Math\.{name}\(" for name in ("exp", "log", "tanh", "cos", "sin")}}
WALK = """
const walk = (spec) => JSON.stringify(paths(spec).map((each) =>
  [Array.from(each.positions, String), Array.from(each.losses, String)]));
"""


class Engine(Protocol):
    """What runs JavaScript: V8 alone, or a browser."""

    def eval(self, code: str) -> Any: ...


def walked(engine: Engine, precision: str, **spec: Any) -> list[list[Any]]:
    """Positions and losses of each racer of a spec."""
    text = engine.eval(f"walk({json.dumps({'precision': _short(precision), **spec})})").replace("Infinity", "inf")
    return [[np.array([float(x) for x in part], precision) for part in each] for each in json.loads(text)]


def _short(precision: str) -> str:
    return f"f{precision[5:]}"


def wild(steps: int, count: int, precision: str, seed: int = 0) -> Any:
    """Gradients over some powers of ten, with zeros among them."""
    rng = np.random.default_rng(seed)
    given = rng.standard_normal((steps, count)) * np.exp(2 * rng.standard_normal((steps, 1)))
    given[rng.random((steps, count)) < 0.05] = 0.0
    return given.astype(precision)


def apart(ours: Any, theirs: Any) -> float:
    """0 where every bit is the same; otherwise the largest distance, relative to 1 and the number."""
    ours, theirs = (np.asarray(each, np.float64).ravel() for each in (ours, theirs))
    if np.array_equal(ours, theirs, equal_nan=True):
        return 0.0
    with np.errstate(invalid="ignore"):
        far = np.max(np.abs(ours - theirs) / (1 + np.abs(theirs)))
    return float(f"{far:.1e}") if np.isfinite(far) else float("inf")


def over_surfaces(engine: Engine, entry: Entry, precision: str) -> float:
    """At the rule's defaults over the surfaces: the largest distance of any position and loss."""
    settings = {**entry.settings, "lr": float(entry.default("lr"))}
    found = []
    for surface in SURFACES:
        more = {"seed": 3, "batch": 4} if surface == "noisy" else {}
        theirs = race(surface, {entry.name: settings}, STEPS, precision=precision, **more)
        racers = [{"rule": entry.name, "settings": settings}]
        ((positions, losses),) = walked(engine, precision, surface=surface, steps=STEPS, racers=racers, **more)
        found += [apart(positions, theirs.positions[0]), apart(losses, theirs.losses[0])]
    return max(found)


def over_many(engine: Engine, entry: Entry, precision: str) -> float:
    """A tensor of 50 numbers under wild gradients, with the learning rate halved on the way."""
    start = np.random.default_rng(5).standard_normal(MANY).astype(precision).tolist()
    gradients = wild(STEPS, MANY, precision)
    ours = in_javascript(engine, entry.name, _short(precision), start, entry.settings, gradients)
    return apart(ours, by_reference(entry, _short(precision), start, entry.settings, gradients))


def causes(entry: Entry) -> list[str]:
    """What in a rule may make its bits another's: sums whose order is open, functions whose last bit is."""
    assert entry.rule is not None
    text = javascript.functions(entry.rule)
    free = [name for name, spelled in FREE.items() if re.search(spelled, text)]
    return [*(["sum"] if entry.rule.per_tensor else []), *free]


def row(engine: Engine, entry: Entry) -> dict[str, Any]:
    """A rule's row of the table."""
    found: dict[str, Any] = {each: over_surfaces(engine, entry, each) for each in PRECISIONS}
    found |= {f"many_{each}": over_many(engine, entry, each) for each in PRECISIONS}
    return found | {"causes": causes(entry)}


def markdown(rows: Mapping[str, Mapping[str, Any]], missing: Iterable[tuple[str, str]]) -> str:
    """The table as docs/play.md has it."""
    columns = [*PRECISIONS, *(f"many_{each}" for each in PRECISIONS)]
    lines = [
        f"| rule | float32 | float64 | float32, {MANY} numbers | float64, {MANY} numbers | what may differ elsewhere |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in rows.items():
        cells = [f"{each[column]:.1e}" if each[column] else "same" for column in columns]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {', '.join(each['causes'])} |")
    lines += [f"| `{name}` | not in the page: {reason} | | | | |" for name, reason in missing]
    return "\n".join(lines)
