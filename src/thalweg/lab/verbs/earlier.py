"""What an earlier study of one's own found, for a tuning to begin with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.lab.errors import LabError
from thalweg.lab.search.declared import is_searched
from thalweg.lab.search.hyperparameters import SearchRange, numbers
from thalweg.lab.study.records import read_spec, read_trials


def known(where: str | Path, optimizer: str, chosen: Sequence[SearchRange], larger: bool) -> list[dict[str, Any]]:
    """The configurations of an earlier study that ended well: their values, and a score, less is better.

    Args:
        where: its folder.
        optimizer: the one that is tuned.
        chosen: what is tuned of it.
        larger: whether larger values of the task's metric are better.

    Raises:
        StudyError: for a folder that is not a study's.
        LabError: for a study of the other direction, or without this optimizer or any of its hyperparameters.
    """
    spec = read_spec(Path(where))
    if spec["task"]["larger_is_better"] != larger:
        right, wrong = ("larger", "smaller") if larger else ("smaller", "larger")
        raise LabError(f"from: in {where} {wrong} values are better; must be {right}, as for this task")
    trials = read_trials(Path(where) / "trials.jsonl").values()
    ended = [trial for trial in trials if trial.optimizer == optimizer and trial.phase == "search" and trial.done]
    if not ended:
        raise LabError(f"from: {where} has no search of {optimizer}; it has {', '.join(spec['optimizers'])}")
    names = {one.name for one in chosen}
    found = [
        {
            "values": {name: at for name, at in numbers(trial.settings, trial.batch_size).items() if name in names},
            "score": -trial.metric if larger else trial.metric,
        }
        for trial in ended
        if math.isfinite(trial.metric)
    ]
    told = [one for one in found if one["values"]]
    if not told:
        raise LabError(f"from: {where} has none of {', '.join(sorted(names))}, which are tuned")
    return told


def best_of(earlier: Sequence[dict[str, Any]], chosen: Sequence[SearchRange]) -> list[dict[str, Any]]:
    """The best of these as a configuration to try first, where it lies in what is searched."""
    if not earlier:
        return []
    values = min(earlier, key=lambda one: one["score"])["values"]
    return [values] if all(is_searched(one, values[one.name]) for one in chosen if one.name in values) else []
