"""Learned orders: for some rules, configurations to try first, chosen so that the first k are jointly best over tasks.

Metz et al. (2020, arXiv:2002.11887) learned such a list for one rule from a thousand tasks. `orders.json` holds ours
and how they were made: `python benchmarks/order.py` says what they were learned from and how they were judged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.lab.errors import LabError
from thalweg.lab.search.hyperparameters import SearchRange
from thalweg.lab.search.samplers import Coordinates

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

AHEAD = 16  # configurations of a list before a sampler that has seen them goes on: TPE after eight was behind the list


@cache
def orders() -> dict[str, Any]:
    """The file: `rules` by name, each with its hyperparameters and its list; `made` says how."""
    found: dict[str, Any] = json.loads((files("thalweg.lab.search") / "orders.json").read_text())
    return found


def known(entry: Entry) -> list[dict[str, float]]:
    """The configurations of a rule's list as values of its hyperparameters, the first to be tried first; or none."""
    own = orders()["rules"].get(entry.name)
    if own is None or entry.rule is None:  # a script that is called as a rule is none
        return []
    return [dict(zip(own["hyperparameters"], row, strict=True)) for row in own["list"]]


def fits(entry: Entry, chosen: Sequence[SearchRange]) -> bool:
    """Whether the rule's list was judged for what is tuned: the same hyperparameters, in ranges that hold it."""
    values = known(entry)
    return bool(values) and {one.name for one in chosen} == {*values[0]} and len(_inside(values, chosen)) == len(values)


def _inside(values: Sequence[Mapping[str, float]], chosen: Sequence[SearchRange]) -> list[Mapping[str, float]]:
    """Those that lie in the ranges; moved to an end of one they would be others."""
    return [value for value in values if all(one.holds(value[one.name]) for one in chosen)]


def coordinates(entry: Entry, chosen: Sequence[SearchRange]) -> list[Coordinates]:
    """The first of the list for the hyperparameters that are tuned, of those that lie in their ranges, each once.

    Raises:
        LabError: for a rule without a list, a hyperparameter that the list does not have, or ranges that hold none.
    """
    values = known(entry)
    if not values:
        raise LabError(
            f"method: no order was learned for {entry.name}; there is one for {', '.join(orders()['rules'])}"
        )
    missing = [one.name for one in chosen if one.name not in values[0]]
    if missing:
        raise LabError(
            f"method: the learned order of {entry.name} has no {', '.join(missing)}; it has {', '.join(values[0])}"
        )
    inside = _inside(values, chosen)
    if not inside:
        raise LabError(f"method: the ranges hold no configuration of the learned order of {entry.name}; must hold some")
    points = [{one.name: one.searched(value[one.name]) for one in chosen} for value in inside]
    return list({tuple(point.values()): point for point in points}.values())[:AHEAD]


def greedy(regrets: Mapping[str, Sequence[Sequence[float]]], count: int) -> list[int]:
    """An order of points: each next one lowers the mean over tasks of the best so far the most.

    Args:
        regrets: for each family its tasks' regrets, one a point; families count alike, whatever their number of tasks.

    Raises:
        ValueError: for a regret that is not finite: no mean could be compared.
    """
    rows = np.concatenate([np.asarray(tasks, dtype=float) for tasks in regrets.values()])
    if not np.isfinite(rows).all():
        raise ValueError("regrets: got one that is not finite; must be finite numbers")
    weights = np.concatenate([np.full(len(tasks), 1 / len(tasks)) for tasks in regrets.values()])
    best = np.full(len(rows), np.inf)
    chosen: list[int] = []
    for _ in range(min(count, rows.shape[1])):
        after = weights @ np.minimum(best[:, None], rows)
        after[chosen] = np.inf
        chosen.append(int(np.argmin(after)))
        best = np.minimum(best, rows[:, chosen[-1]])
    return chosen
