"""How every verb runs: the study's folder opened, threads and runner settled, the price told, a campaign to plan on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.campaign import Campaign, Progress
from thalweg.lab.contenders import describe as describe_entry
from thalweg.lab.machine import versions
from thalweg.lab.runners import settled
from thalweg.lab.study import Study
from thalweg.lab.task import Task

if TYPE_CHECKING:
    from thalweg.catalogue import Entry


@contextmanager
def conduct(
    task: Task,
    spec: Mapping[str, Any],
    folder: Path,
    entries: Sequence[Entry],
    total: Callable[[Mapping[str, Any]], int],
    *,
    on: str = "auto",
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Campaign]:
    """A campaign in the study's folder.

    Args:
        total: how many trainings a spec amounts to; the study's spec may hold more seeds than were asked for.
        on: where to train: see `runners.choose`.
    """
    with Study(folder, spec, versions()) as study:
        known = max(total(study.spec), len(study.trials))
        with settled(study, task, entries, on, known - len(study.trials)) as (runner, choice):
            yield Campaign(task, study.spec["task"]["epochs"], study, runner, known, progress, str(choice))


def describe(
    verb: str, task: Task, loaded_from: str | None, epochs: int, entries: Sequence[Entry], protocol: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a study's trials depend on: two studies with the same spec have the same trials."""
    return {
        "verb": verb,
        "task": {
            "name": task.name,
            "from": loaded_from,
            "identity": task.identity(),
            "metric": task.metric_name,
            "larger_is_better": task.larger_is_better,
            "epochs": epochs,
            "batch_size": task.batch_size,
            "margin": task.margin,
            "data": task.describe_data(),
        },
        "optimizers": {entry.name: describe_entry(entry) for entry in entries},
        "protocol": dict(protocol),
    }
