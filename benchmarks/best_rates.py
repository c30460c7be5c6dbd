"""The fair learning rates of the page: for each surface, start and rule the one that ends lowest, of 33.

    python benchmarks/best_rates.py

The rates are even in the logarithm over the range that the lab searches for the rule, and a tenth and ten times of it
besides. A run is 300 steps; it counts by its mean loss over the last 30, and on noisy surfaces over four seeds with a
batch of 1. The runs are the page's own, in V8, which have the bits of `reference`.
Writes src/thalweg/play/best.json.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from py_mini_racer import MiniRacer

from thalweg.catalogue import CATALOGUE
from thalweg.engines import javascript
from thalweg.equations import RuleError
from thalweg.play.scenery import javascript as scenery
from thalweg.play.surfaces import SURFACES, Surface

OUT = Path(__file__).parent.parent / "src" / "thalweg" / "play" / "best.json"
STEPS, LAST, COUNT, SEEDS = 300, 30, 33, 4
ENDS = """
const ends = (specs, last) => JSON.stringify(specs.map((spec) => {
  const { losses } = paths(spec)[0];
  const value = losses.slice(-last).reduce((a, b) => a + b, 0) / last;
  return Number.isFinite(value) ? value : null;
}));
"""


def rates(low: float, high: float) -> list[float]:
    """Even in the logarithm, rounded to three digits, as one would type them."""
    low, high = low / 10, high * 10
    return [float(f"{low * (high / low) ** (k / (COUNT - 1)):.3g}") for k in range(COUNT)]


def best(v8: MiniRacer, surface: Surface, start: str, name: str) -> dict[str, float] | None:
    """The rate that ends lowest, and how low."""
    entry = CATALOGUE[name]
    search = entry.search("lr")
    assert search is not None
    seeds = range(SEEDS) if surface.noise else range(1)
    found: list[tuple[float, float]] = []
    for lr in rates(*search):
        spec: dict[str, Any] = {"surface": surface.name, "start": start, "precision": "f64", "steps": STEPS}
        racer = {"rule": name, "settings": {**entry.settings, "lr": lr}}
        specs = [{**spec, "batch": int(bool(surface.noise)), "seed": seed, "racers": [racer]} for seed in seeds]
        values = json.loads(v8.eval(f"ends({json.dumps(specs)}, {LAST})"))
        if None not in values:
            found.append((sum(values) / len(values), lr))
    if not found:
        return None
    value, lr = min(found)
    return {"lr": lr, "value": float(f"{value:.3g}")} if math.isfinite(value) else None


def main() -> None:
    rules = []
    for entry in CATALOGUE.values():
        if entry.rule is None or not entry.takes_dense or entry.name == "adahessian":
            continue
        try:
            javascript.functions(entry.rule)
        except RuleError:
            continue
        rules.append(entry.rule)
    v8 = MiniRacer()
    v8.eval("\n".join([javascript.script(rules), scenery(), ENDS]))
    table: dict[str, Any] = {}
    for surface in SURFACES.values():
        for start in surface.starts:
            own = {rule.name: best(v8, surface, start, rule.name) for rule in rules}
            table.setdefault(surface.name, {})[start] = {name: each for name, each in own.items() if each}
    OUT.write_text(json.dumps(table, separators=(",", ":")) + "\n")
    print(f"{OUT}: {sum(len(own) for starts in table.values() for own in starts.values())} rates")


if __name__ == "__main__":
    main()
