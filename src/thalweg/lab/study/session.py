"""How every verb runs: the study's folder opened, threads and runner settled, the price told, a campaign to plan on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from thalweg.lab.arguments import length, several
from thalweg.lab.cost.machine import torch_threads, versions
from thalweg.lab.cost.price import Estimate
from thalweg.lab.errors import LabError
from thalweg.lab.runners import choose, runner_of
from thalweg.lab.runners.choice import known
from thalweg.lab.runners.lanes.probe import MOST
from thalweg.lab.study.campaign import RETRIES, Campaign, Progress
from thalweg.lab.study.command import keep_typed
from thalweg.lab.study.deadline import Deadline, larger
from thalweg.lab.study.optimizers import describe as describe_entry
from thalweg.lab.study.optimizers import left_out
from thalweg.lab.study.records import find_spec, read_spec
from thalweg.lab.study.store import Study
from thalweg.lab.task.baselines import baselines
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task
from thalweg.lab.training.decay import without_decay
from thalweg.lab.training.spec import Spec, TaskSpec

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.results.result import Result


@contextmanager
def open_campaign(
    estimate: Estimate,
    spec: Spec,
    folder: Path,
    total: Callable[[Spec], int],
    *,
    on: str = "auto",
    at_once: int = MOST,
    deadline: Deadline | None = None,
    retries: int = RETRIES,
    progress: Callable[[Progress], None] | None = None,
) -> Iterator[Campaign]:
    """A campaign in the study's folder.

    Args:
        estimate: of the study's task, optimizers and limit, with what was measured for a budget before.
        total: how many runs a spec amounts to; the study's spec may hold more seeds than were asked for.
        deadline: when the study must end.
        retries: how often a run that was interrupted from outside is tried again.
        on, at_once: where to train, and how many there are to go side by side: see `runners.choose`.
    """
    known(on)
    task, limit = estimate.task, estimate.limit
    with Study(folder, spec, versions()) as study:
        keep_typed(folder)
        count = max(total(study.spec), len(study.trials))
        missing, epochs = count - len(study.trials), study.spec["task"]["epochs"]
        runs = -(-missing * epochs // task.epochs)  # of the task's own length
        with ExitStack() as open_ones:
            try:
                runner, choice = open_ones.enter_context(runner_of(study, estimate, on, runs, at_once))
            except LabError:  # nothing to train on: no study has begun
                study.take_back()
                raise
            seconds = None
            if missing and (progress is not None or estimate.choice):  # somebody is told, or a budget was planned by it
                each = estimate.seconds(study.settle("milliseconds", lambda: estimate.milliseconds))
                seconds = missing * fmean(each.values()) / (choice.gain or 1.0) if each else None
            campaign = Campaign(
                task, epochs, study, runner, count, progress, str(choice), seconds, limit, retries, deadline
            )
            yield campaign


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
        resources=estimate.resources,
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


def planned(folder: Path, result: str, find: Callable[[], Any]) -> Any:
    """What the plan of a folder's study was cut to by its first budget, else what is found now: a plan does not change
    while it is run."""
    protocol = (find_spec(folder) or {"protocol": {}})["protocol"]
    if protocol.get("budget") is not None and result in protocol:
        return protocol[result]
    return find()


def tell_cut(campaign: Campaign, lines: Sequence[str]) -> None:
    """Keep what the deadline left out, for the result; nothing where the study is at its end."""
    if list(lines) != campaign.study.versions.get("cut", []):
        campaign.study.keep("cut", list(lines))


def keep_wanted(campaign: Campaign, wanted: int, trials: int) -> None:
    """Keep how many configurations there were to be, where a budget has cut them."""
    if wanted > trials:
        campaign.study.settle("wanted", lambda: wanted)


def keep_baselines(campaign: Campaign, part: str) -> None:
    """Keep what is reached without learning: of a `Task` it is measured once; of an own loop it is as given last."""
    task = campaign.task
    if not isinstance(task, OwnLoop):
        campaign.study.settle("baselines", lambda: {part: baselines(task, part)})
    elif task.baseline is not None:
        campaign.study.keep("baselines", {part: {"given": task.baseline}})


def seeds_run(seeds: int, wanted: int) -> str:
    """How many of the fresh seeds were run."""
    return f"{seeds} of {several(wanted, 'fresh seed')} {'was' if wanted == 1 else 'were'} run"


def tried(campaign: Campaign, count: str | int, trials: int, of_whom: str = "") -> str:
    """How many configurations were tried of those that were to be: before the budget cut them, where it did."""
    wanted = campaign.study.versions.get("wanted") or trials
    if wanted <= trials:
        return f"{count} of {trials} configurations{of_whom} were tried"
    return f"{count} of the {wanted} configurations planned{of_whom} were tried (the budget cut them to {trials})"


def check_ended(campaign: Campaign, kind: type[Result]) -> None:
    """What has ended must suffice for an answer.

    Raises:
        LabError: where the deadline came before that.
    """
    study = campaign.study
    if not study.versions.get("cut") and study.versions.get("planned") != campaign.total:
        study.keep("planned", campaign.total)  # configurations that were asked for twice were run once
    lacking = kind.lacking(study.spec, list(study.trials.values()), cut=bool(study.versions.get("cut")))
    if lacking and campaign.deadline.budget is not None:
        budget, before = campaign.deadline.budget, campaign.deadline.before
        paced = campaign.total * (campaign.deadline.pace or 0.0)  # on a busy machine it is slower than was timed
        needed = before + (max(campaign.price or 0.0, paced) or budget)
        raise LabError(
            f"budget: {length(budget)} was not enough for an answer: {len(study.trials)} of "
            f"{several(campaign.total, 'run')} ended, and {lacking}; {length(before)} went by before the first run, as "
            f"the task was loaded and the steps were timed. As fast as here all of it takes about {length(needed)}. "
            f"What has ended is kept in {study.folder}, and a larger budget goes on there",
            then=("to go on", {"--budget": larger(max(budget, needed)), "--out": str(study.folder)}),
        )


def describe(
    verb: str, task: Task, loaded_from: str | None, epochs: int, entries: Sequence[Entry], protocol: Mapping[str, Any]
) -> Spec:
    """All that a study's trials depend on: two studies with the same spec have the same trials."""
    described: Mapping[str, Any] = {
        "name": task.name,
        "from": loaded_from,
        "identity": task.identity(),
        "parts": task.identity_parts(),
        "metric": task.metric_name,
        "larger_is_better": task.larger_is_better,
        "epochs": epochs,
        "batch_size": task.batch_size,
        "margin": task.margin,
        "data": task.describe_data(),
        **({"loop": task.command or "function"} if isinstance(task, OwnLoop) else {}),
        **_run_notes(task, entries),
    }
    return {
        "verb": verb,
        "task": cast("TaskSpec", described),
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
