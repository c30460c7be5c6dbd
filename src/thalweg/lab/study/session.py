"""How every verb runs: the study's folder opened, threads and runner settled, the price told, a campaign to plan on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from thalweg.lab.cost.machine import torch_threads, versions
from thalweg.lab.cost.price import Estimate
from thalweg.lab.runners import choose, runner_of
from thalweg.lab.runners.choice import known
from thalweg.lab.runners.lanes.probe import MOST
from thalweg.lab.study.campaign import Campaign, Progress
from thalweg.lab.study.optimizers import describe as describe_entry
from thalweg.lab.study.optimizers import left_out
from thalweg.lab.study.records import read_spec
from thalweg.lab.study.store import Study
from thalweg.lab.task.task import Task
from thalweg.lab.training.decay import without_decay

if TYPE_CHECKING:
    from thalweg.catalogue import Entry


@contextmanager
def open_campaign(
    estimate: Estimate,
    spec: Mapping[str, Any],
    folder: Path,
    total: Callable[[Mapping[str, Any]], int],
    *,
    on: str = "auto",
    at_once: int = MOST,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Campaign]:
    """A campaign in the study's folder.

    Args:
        estimate: of the study's task, optimizers and limit, with what was measured for a budget before.
        total: how many runs a spec amounts to; the study's spec may hold more seeds than were asked for.
        on, at_once: where to train, and how many there are to go side by side: see `runners.choose`.
    """
    known(on)
    task, entries, limit = estimate.task, estimate.entries, estimate.limit
    with Study(folder, spec, versions()) as study:
        count = max(total(study.spec), len(study.trials))
        missing, epochs = count - len(study.trials), study.spec["task"]["epochs"]
        runs = -(-missing * epochs // task.epochs)  # of the task's own length
        with runner_of(study, task, entries, on, runs, at_once, limit, estimate) as (runner, choice):
            seconds = None
            if missing and (progress is not None or estimate.choice):  # somebody is told, or a budget was planned by it
                each = estimate.seconds(study.settle("milliseconds", lambda: estimate.milliseconds))
                seconds = missing * fmean(each.values()) / (choice.gain or 1.0) if each else None
            yield Campaign(task, epochs, study, runner, count, progress, str(choice), seconds, limit)


def affordable(
    estimate: Estimate,
    budget: float,
    on: str,
    runs: Callable[[int], Mapping[str, int]],
    wanted: int,
    least: int,
    at_once: int = MOST,
) -> int:
    """The largest number whose runs fit into a budget, on the runner that the study then gets: see `Estimate`."""
    runner, estimate.choice = choose(
        estimate.task,
        estimate.entries,
        on,
        runs=sum(runs(wanted).values()),
        at_once=at_once,
        threads=int(estimate.threads["threads"]),
        limit=estimate.limit,
    )
    runner.close()
    with torch_threads(estimate.choice.threads):
        return estimate.affordable(budget, estimate.choice.gain or 1.0, runs, wanted, least)


def settled(folder: Path, key: str, value: Any, result: str, find: Callable[[], Any]) -> Any:
    """What a study's first run found out for the same question (`key` is `value`), else what is found now.

    A budget becomes a number of trials, another study's trials become known points: once, or nothing would resume.
    """
    if (folder / "spec.json").exists():
        before = read_spec(folder)["protocol"]
        if before.get(key) == value and result in before:
            return before[result]
    return find()


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
            **_run_notes(task, entries),
        },
        "optimizers": {entry.name: describe_entry(entry) for entry in entries},
        "protocol": dict(protocol),
    }


def _run_notes(task: Task, entries: Sequence[Entry]) -> dict[str, Any]:
    found = task.describe_run()
    if without := without_decay(task, entries):
        found["without_weight_decay"] = without
    if refuse := left_out(task, entries):
        found["left_out"] = refuse
    return {"training": found} if found else {}
