"""What is reached without learning: by the untrained model, and by always giving the same answer."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from torch import Tensor

from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.task.convention import inputs_and_target
from thalweg.lab.task.evaluation import evaluate

if TYPE_CHECKING:
    from thalweg.lab.task.data import Source
    from thalweg.lab.task.task import Task

SEEDS = 3  # untrained models


def baselines(task: Task, part: str) -> dict[str, float]:
    """The metric on a part of the data, "validation" or "test", of what has learned nothing.

    `untrained` is the mean of a few new models, `constant` that of the training data's most frequent class, for an
    accuracy. What cannot be measured is not in it.
    """
    found = {}
    with preserving_process(task.device):
        values = []
        for seed in range(SEEDS):
            seed_everything(derive(seed, "baseline"), task.device)
            try:
                values.append(evaluate(task, task.build(seed), task.sources[part])[1])
            except Exception:  # a metric of the user's that wants a trained model
                break
        if values:
            found["untrained"] = sum(values) / len(values)
        if task.metric == "accuracy" and (constant := _most_frequent(task, part)) is not None:
            found["constant"] = constant
    return found


def _most_frequent(task: Task, part: str) -> float | None:
    """How often the training data's most frequent class is right."""
    try:
        known, asked = _classes(task.sources["train"]), _classes(task.sources[part])
    except Exception:  # batches of no (inputs, target)
        return None
    total = sum(asked.values())
    return asked[known.most_common(1)[0][0]] / total if known and total else None


def _classes(source: Source) -> Counter[Any]:
    seen: Counter[Any] = Counter()
    for batch in source.batches(None):
        _, target = inputs_and_target(batch)
        if not isinstance(target, Tensor):
            return Counter()
        seen.update(target.flatten().tolist())
    return seen
