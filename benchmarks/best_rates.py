"""The fair learning rates of the page: for each surface, start and rule the one that surely ends low, of 41.

    python benchmarks/best_rates.py

The rates are even in the logarithm over the range that the lab searches for the rule, a tenth and a hundred times of it
besides. A run is 300 steps; it counts by its mean height above the optimum over the last 30, on noisy surfaces over
four seeds with a batch of 1. Chosen is the rate whose own end and its two neighbors' are, at the worst of the three,
the lowest: one that hits the optimum by luck between two that fly off is none. Ends under a millionth of the start's
height are alike; among these counts the mean logarithm of the height over the whole run: who arrives first, and stays.
A run that leaves the picture by more than half its width counts as one that diverged.
Where the choice lies beside an end of the range, `edge` says so.
The runs are the page's own, in V8, which have the bits of `reference`. Writes src/thalweg/play/best.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from py_mini_racer import MiniRacer

from thalweg.catalogue import CATALOGUE
from thalweg.engines import javascript
from thalweg.play.scenery import javascript as scenery
from thalweg.play.surfaces import SURFACES, Surface
from thalweg.rule.equations import RuleError

OUT = Path(__file__).parent.parent / "src" / "thalweg" / "play" / "best.json"
STEPS, LAST, COUNT, SEEDS = 300, 30, 41, 4
Arrival = tuple[float, float]  # the end, and the mean logarithm on the way
ENDS = """
// Whether a path stays within twice the picture, its start included.
const stays = (name, positions) => {
  const { domain, dimension } = SURFACES[name];
  return domain.slice(0, dimension).every(([low, high], i) => {
    const along = Array.from(positions).filter((_, place) => place % dimension === i);
    const first = Math.min(low, along[0]), last = Math.max(high, along[0]), half = (last - first) / 2;
    return along.every((x) => x >= first - half && x <= last + half);
  });
};
const ends = (specs, last) => JSON.stringify(specs.map((spec) => {
  const ground = field(spec);
  const least = Math.min(...SURFACES[spec.surface].optima.map((place) => ground.value(place)));
  const { positions, losses } = paths(spec)[0];
  const heights = Array.from(losses, (loss) => loss - least);
  const near = 1e-6 * heights[0];
  if (!stays(spec.surface, positions)) return null;
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  const way = mean(heights.map((each) => Math.log10(Math.max(near, each))));
  const found = [Math.max(near, mean(heights.slice(-last))), way];
  return found.every(Number.isFinite) ? found : null;
}));
"""


def rates(low: float, high: float) -> list[float]:
    """Even in the logarithm, rounded to three digits, as one would type them."""
    low, high = low / 10, high * 100
    return [float(f"{low * (high / low) ** (k / (COUNT - 1)):.3g}") for k in range(COUNT)]


def arrivals(v8: MiniRacer, surface: Surface, start: str, name: str, lrs: list[float]) -> list[Arrival]:
    """How a rule ends at each rate; infinite where it diverges or leaves the picture."""
    entry = CATALOGUE[name]
    seeds = range(SEEDS) if surface.noise else range(1)
    spec: dict[str, Any] = {"surface": surface.name, "start": start, "precision": "f64", "steps": STEPS}
    spec["batch"] = int(bool(surface.noise))
    racers = [[{"rule": name, "settings": {**entry.settings, "lr": lr}}] for lr in lrs]
    specs = [{**spec, "seed": seed, "racers": each} for each in racers for seed in seeds]
    found = [each or (math.inf, math.inf) for each in json.loads(v8.eval(f"ends({json.dumps(specs)}, {LAST})"))]
    groups = [found[k : k + len(seeds)] for k in range(0, len(found), len(seeds))]
    return [(sum(end for end, _ in each) / len(each), sum(way for _, way in each) / len(each)) for each in groups]


def choice(found: Sequence[Arrival]) -> int | None:
    """The place that is good with its neighbors: never the first or the last; None where all diverge."""

    def worst(k: int) -> Arrival:
        beside = found[k - 1 : k + 2]
        return max(end for end, _ in beside), max(way for _, way in beside)

    best = min(range(1, len(found) - 1), key=lambda k: (worst(k), found[k]))
    return best if math.isfinite(worst(best)[0]) else None


def best(v8: MiniRacer, surface: Surface, start: str, name: str) -> dict[str, Any] | None:
    """The rate that surely ends low, and how low."""
    search = CATALOGUE[name].search("lr")
    assert search is not None
    lrs = rates(*search)
    found = arrivals(v8, surface, start, name, lrs)
    k = choice(found)
    if k is None:
        return None
    edge = {"edge": True} if k in (1, COUNT - 2) else {}
    return {"lr": lrs[k], "value": float(f"{found[k][0]:.3g}"), **edge}


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
    all_of_them = [
        (surface, start, name, each)
        for surface, starts in table.items()
        for start, own in starts.items()
        for name, each in own.items()
    ]
    edges = [f"{surface}/{start} {name} {each['lr']}" for surface, start, name, each in all_of_them if "edge" in each]
    print(f"{OUT}: {len(all_of_them)} rates, {len(edges)} at the edge of what was tried:", *edges, sep="\n")


if __name__ == "__main__":
    main()
