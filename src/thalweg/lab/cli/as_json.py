"""What the commands that list and show print for machines: the same facts, numbers as numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thalweg.lab.study.records import to_json

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.task.builtin import Listing


def print_json(value: Any) -> None:
    """One JSON text; what has no number in JSON is a string, as in a study's files."""
    print(json.dumps(to_json(value), indent=2))


def of_task(listing: Listing) -> dict[str, Any]:
    """A built-in task."""
    return {
        "name": listing.name,
        "about": listing.about,
        "metric": listing.metric,
        "one_run": listing.usual_time,
        "needs": f"thalweg[{listing.extra}]" if listing.extra else None,
    }


def of_rule(entry: Entry) -> dict[str, Any]:
    """A rule as it is listed."""
    rule = entry.rule
    return {
        "name": entry.name,
        "title": rule.title if rule else (entry.optimizer.__doc__ or "").partition("\n")[0],
        "lr": entry.default_rate,
        "searched": entry.search("lr"),
        "source": rule.source if rule else None,
    }


def of_rule_in_full(entry: Entry) -> dict[str, Any]:
    """A rule as it is shown. What is searched of a setting is a range, of one with several numbers a range for each."""
    from thalweg.lab.search import order
    from thalweg.lab.search.hyperparameters import bounds_of

    found = {**of_rule(entry), "line": entry.line()}
    if (rule := entry.rule) is None:
        return found
    searched = bounds_of(entry)
    hyperparameters = {}
    for name, part in entry.hyperparameters.items():
        default, ranges = entry.default(name), searched.get(name)
        each = ranges if ranges is None or isinstance(default, tuple) else ranges[0]
        hyperparameters[name] = {"default": default, "valid": part.valid, "searched": each}
    return {
        **found,
        "paper": rule.paper,
        "equations": rule.equations,
        "hyperparameters": hyperparameters,
        "departures": rule.departures,
        "order": order.known(entry) or None,
    }
