"""V8 without a browser, and a run of a rule in it beside the one of `reference`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from py_mini_racer import MiniRacer

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.engines import javascript
from thalweg.rule.definition import Rule, RuleError

DTYPES = {"f32": torch.float32, "f64": torch.float64}
FOLLOW = """
// The parameter after each of these gradients; from step 150 on with half the learning rate.
function follow(name, precision, x0, settings, gradients) {
  const run = start(name, precision, x0, settings), path = [];
  gradients.forEach((g, t) => {
    if (t === 150) run.settings.lr /= 2;
    run.g.set(g);
    advance(run);
    path.push(Array.from(run.p, (x) => String(x)));
  });
  return JSON.stringify(path);
}
"""


def translated() -> list[Entry]:
    """The catalogue's rules that JavaScript can say, but for those whose gradients no page has."""
    return [each for each in CATALOGUE.values() if _can(each.rule) and each.name not in ("adahessian", "sparse_adam")]


def _can(rule: Rule | None) -> bool:
    try:
        return rule is not None and bool(javascript.functions(rule))
    except RuleError:
        return False


def context(rules: Iterable[Rule], *more: str) -> MiniRacer:
    """V8 with these rules in it."""
    made = MiniRacer()
    made.eval("\n".join([javascript.script(rules), FOLLOW, *more]))
    return made


def in_javascript(
    v8: Any, name: str, precision: str, x0: Sequence[float], settings: Mapping[str, Any], gradients: Any
) -> Any:
    """A path in V8, as an array of the precision's dtype. Numbers go and come as decimals that name them exactly."""
    given = [json.dumps(each) for each in (name, precision, list(x0), dict(settings), gradients.tolist())]
    path = json.loads(v8.eval(f"follow({', '.join(given)})").replace("Infinity", "inf"))
    return np.array([[float(x) for x in place] for place in path], dtype=gradients.dtype)


def by_reference(entry: Entry, precision: str, x0: Sequence[float], settings: Mapping[str, Any], gradients: Any) -> Any:
    """The same path by torch's operations."""
    p = torch.nn.Parameter(torch.tensor(x0, dtype=DTYPES[precision]))
    optimizer = entry.build([p], engine="reference", **settings)
    path = []
    for step, g in enumerate(torch.from_numpy(gradients)):
        if step == 150:
            optimizer.param_groups[0]["lr"] /= 2
        p.grad = g.clone()
        optimizer.step()
        path.append(p.detach().numpy().copy())
    return np.array(path)
