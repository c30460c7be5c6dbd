"""The main job: many optimizers on a task, or on several, under one fair protocol."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from thalweg.lab.arguments import folder_of, integer, seconds, the_task
from thalweg.lab.cost.price import Estimate
from thalweg.lab.cost.step_time import measure_milliseconds
from thalweg.lab.recording import record as recorder
from thalweg.lab.results import Comparison
from thalweg.lab.runners.resources import Resources
from thalweg.lab.search.configurations import APART, candidates_of, joint, ranked
from thalweg.lab.search.hyperparameters import settings, tuned
from thalweg.lab.search.protocol import Protocol, first_look, joint_look, second_look
from thalweg.lab.study.campaign import RETRIES, Campaign, Progress
from thalweg.lab.study.deadline import Deadline
from thalweg.lab.study.optimizers import check_fit, resolve
from thalweg.lab.study.records import to_json
from thalweg.lab.study.session import (
    affordable,
    check_ended,
    describe,
    keep_baselines,
    keep_wanted,
    open_campaign,
    planned,
    seeds_run,
    tell_cut,
    tried,
)
from thalweg.lab.study.store import default_folder
from thalweg.lab.training.spec import Spec
from thalweg.lab.verbs import so_far
from thalweg.lab.verbs.joint import Loaded, jointly, tasks_of
from thalweg.lab.verbs.options import (
    Baseline,
    Budget,
    Command,
    CpusPerRun,
    Direction,
    Epochs,
    Gpus,
    GpusPerRun,
    LastStep,
    Metric,
    MetricFile,
    Optimizers,
    Out,
    Read,
    Record,
    Retries,
    Tell,
    TheTasks,
    TimeLimit,
    Where,
)
from thalweg.lab.verbs.verb import Option, verb

__all__ = ["Comparison", "compare"]

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

LEAST = 3  # trials: the default, and one to either side


@verb
def compare(
    task: TheTasks = None,
    optimizers: Optimizers = None,
    preset: Annotated[
        str, Option("quick, standard or thorough; the numbers after it change one of its numbers.")
    ] = "quick",
    *,
    trials: Annotated[int | None, Option("Configurations tried of each optimizer.", unset="the preset's")] = None,
    seeds: Annotated[int | None, Option("Seeds for each in the search.", unset="the preset's")] = None,
    finalists: Annotated[
        int | None, Option("Configurations of each optimizer that advance.", unset="the preset's")
    ] = None,
    finalist_seeds: Annotated[
        int | None, Option("Fresh seeds for each finalist; more can be added later.", unset="the preset's")
    ] = None,
    hyperparameters: Annotated[
        Sequence[str] | str | None,
        Option(
            "What is tuned of each optimizer: lr, and any of beta1 (momentum, where there is one), beta2, eps, "
            "weight_decay.",
            unset="the preset's",
        ),
    ] = None,
    budget: Budget = None,
    epochs: Epochs = None,
    time_limit: TimeLimit = None,
    on: Where = "auto",
    out: Out = None,
    record: Record = False,
    progress: Tell = None,
    command: Command = None,
    direction: Direction = None,
    metric: Metric = None,
    read: Read = None,
    metric_file: MetricFile = None,
    baseline: Baseline = None,
    steps: LastStep = None,
    retries: Retries = RETRIES,
    gpus: Gpus = None,
    gpus_per_run: GpusPerRun = None,
    cpus_per_run: CpusPerRun = None,
) -> Any:
    """Find out which optimizer, and which learning rate, suits a task, or several. Rerun it to resume the study.

    Returns:
        A `Comparison`; over several tasks a `JointComparison`, whose folder has each task's study in a subfolder.

    Raises:
        TaskError: for a task that cannot be trained.
        StudyError: for a folder that holds another study.
        LabError: for anything else that is not allowed.
    """
    began = time.monotonic()
    loop = dict(direction=direction, metric=metric, read=read, file=metric_file, baseline=baseline, length=steps)
    resources = Resources(gpus, gpus_per_run, cpus_per_run)
    integer("retries", retries, least=0)
    numbers = {"trials": trials, "seeds": seeds, "finalists": finalists, "finalist_seeds": finalist_seeds}
    study = partial(
        _study,
        optimizers=optimizers,
        protocol={"preset": preset, **numbers, "hyperparameters": hyperparameters},
        epochs=epochs,
        time_limit=time_limit,
        on=on,
        record=record,
        progress=progress,
        retries=retries,
        resources=resources,
        began=began,
    )
    if command or not isinstance(task, str | list):
        tasks = [the_task(task, command, **loop)]
    else:
        tasks = [the_task(one, None, **loop) for one in tasks_of(task)]
    return study(tasks[0], budget=budget, out=out) if len(tasks) == 1 else jointly(tasks, study, preset, budget, out)


def _study(
    loaded: Loaded,
    *,
    optimizers: Any,
    protocol: Mapping[str, Any],
    budget: str | float | None,
    epochs: int | None,
    time_limit: str | float | None,
    on: str,
    out: str | Path | None,
    record: bool,
    progress: Callable[[Progress], None] | None,
    retries: int,
    resources: Resources,
    began: float,
) -> Comparison:
    """The comparison on one task. Of several each has its part of the budget from when it begins."""
    deadline = Deadline(seconds("budget", budget), began)
    task, loaded_from, here = loaded
    agreed = Protocol.of(**protocol, budget=budget)
    epochs = task.epochs if epochs is None else integer("epochs", epochs)
    entries = resolve(optimizers, task)
    task.check()
    check_fit(task, entries)
    if record:
        recorder.check(task)
    longest = seconds("time_limit", time_limit)
    folder = folder_of(out, here, task.name, agreed.preset)
    spec = describe("compare", task, loaded_from, epochs, entries, to_json(asdict(agreed)))
    folder = folder if out is not None else default_folder(folder, spec)
    estimate = Estimate(task, entries, epochs, longest, resources)
    wanted = agreed.trials
    if agreed.budget is not None:
        agreed = within(agreed, estimate, on, folder)
        spec["protocol"] = to_json(asdict(agreed))

    def total(spec: Spec) -> int:
        return sum(price(entry, Protocol(**spec["protocol"])) for entry in entries)

    with open_campaign(
        estimate,
        spec,
        folder,
        total,
        on=on,
        at_once=at_once(entries, agreed),
        deadline=deadline,
        retries=retries,
        progress=progress,
    ) as campaign:
        agreed = Protocol(**campaign.study.spec["protocol"])
        keep_wanted(campaign, wanted, agreed.trials)
        Comparing(campaign, entries, agreed).run()
        check_ended(campaign, Comparison)
        comparison = Comparison(*campaign.study.parts)
        comparison.save()
        if record:
            recorder.record(campaign, entries, comparison)
    return comparison


class Comparing:
    """Plans a comparison's rounds: search, look again, decide on fresh seeds."""

    def __init__(self, campaign: Campaign, entries: Sequence[Entry], protocol: Protocol) -> None:
        self.campaign, self.entries, self.protocol = campaign, entries, protocol

    def run(self) -> None:
        """Round by round over the optimizers, all of a round at once: a runner may train many side by side."""
        rates = {entry.name: self._first(entry) for entry in self.entries}
        self._search(rates, start=0)
        start = self.protocol.first_look
        for count in self.protocol.closer_looks:
            more = {entry.name: self._closer(entry, count, start) for entry in self.entries}
            self._search(more, start=start)
            start += count
        larger = self.campaign.task.larger_is_better
        finalists = [
            (entry, candidate)
            for entry in self.entries
            for candidate in ranked(candidates_of(self.campaign.searched(entry.name)), larger)[
                : self.protocol.finalists
            ]
        ]
        finals = [
            self.campaign.job(entry, candidate.settings, seed, phase="final", index=candidate.index)
            for seed in self.protocol.fresh_seeds
            for entry, candidate in finalists
        ]
        so_far.tell(self.campaign, finals)
        searched = self.campaign.deadline.passed
        self.campaign.deadline.passed = False  # time was left for these
        ended = self.campaign.run(finals, least=len(finalists))
        self._tell_cut(searched, len({trial.seed for trial in ended}))
        keep_baselines(self.campaign, "test")
        measured = (self.campaign.task, self.entries, self.campaign.limit)
        self.campaign.study.settle("milliseconds", lambda: measure_milliseconds(*measured))

    def _tell_cut(self, search: bool, seeds: int) -> None:
        """What the deadline left out, for the notes."""
        protocol, lines = self.protocol, []
        if search:
            counts = [len(candidates_of(self.campaign.searched(entry.name))) for entry in self.entries]
            count = " or ".join(map(str, dict.fromkeys((min(counts), max(counts)))))
            lines.append(tried(self.campaign, count, protocol.trials, " of each optimizer"))
        if self.campaign.deadline.passed:
            lines.append(seeds_run(seeds, protocol.finalist_seeds))
        tell_cut(self.campaign, lines)

    def _search(self, rates: dict[str, list[dict[str, Any]]], start: int) -> None:
        self.campaign.run(
            [
                self.campaign.job(entry, rates[entry.name][position], seed, index=start + position)
                for position in range(max(len(result) for result in rates.values()))
                for seed in self.protocol.search_seeds
                for entry in self.entries
                if position < len(rates[entry.name])
            ],
            reserve=len(self.entries) * self.protocol.finalists * self.protocol.finalist_seeds,
            least=len(self.entries) * self.protocol.seeds,
        )

    def _first(self, entry: Entry) -> list[dict[str, Any]]:
        default = entry.default_rate
        if default is None:  # nothing to tune
            return [{}]
        rates = first_look(default, entry.search("lr"), self.protocol.first_look)
        hyperparameters = tuned(entry, self.campaign.task, self.protocol.hyperparameters)
        if [each.name for each in hyperparameters] == ["lr"]:
            return [{"lr": rate} for rate in rates]
        return [settings(entry, hyperparameters, values)[0] for values in joint_look(hyperparameters, rates)]

    def _closer(self, entry: Entry, count: int, start: int) -> list[dict[str, Any]]:
        """Learning rates around the best, or beyond the edge; other hyperparameters as the best has them.

        What the study has at these places stays: an earlier version looked at other rates.
        """
        result = candidates_of(self.campaign.searched(entry.name))
        if not result or entry.default_rate is None:  # the deadline came first, or there is nothing to tune
            return []
        places = range(start, start + count)
        ours = [trial for trial in self.campaign.study.trials.values() if trial.optimizer == entry.name]
        had = {trial.index: trial.settings for trial in ours if trial.phase == "search" and trial.index in places}
        if len(had) == count:
            return [had[index] for index in sorted(had)]
        best = ranked(result, self.campaign.task.larger_is_better)[0]
        rate = None if best.failed == len(best.trials) else best.rate
        rates_tried = [each.rate for each in result]
        near = APART if joint(result) else 0.0
        return [{**best.settings, "lr": rate} for rate in second_look(rates_tried, rate, count, near)]


def within(protocol: Protocol, estimate: Estimate, on: str, folder: Path) -> Protocol:
    """The protocol with as many trials as its budget allows; the same as before where the study has begun."""
    budget = protocol.budget
    assert budget is not None

    def runs(trials: int) -> dict[str, int]:
        return {entry.name: price(entry, replace(protocol, trials=trials)) for entry in estimate.entries}

    def cut() -> int:
        most = at_once(estimate.entries, protocol)
        return affordable(estimate, budget, on, runs, protocol.trials, min(LEAST, protocol.trials), most)

    trials = planned(folder, "trials", cut)
    return replace(protocol, trials=trials, finalists=min(protocol.finalists, trials))


def at_once(entries: Sequence[Entry], protocol: Protocol) -> int:
    """How many runs go side by side at most: those of the first look, or of the finalists."""
    return len(entries) * max(protocol.first_look * protocol.seeds, protocol.finalists * protocol.finalist_seeds)


def price(entry: Entry, protocol: Protocol) -> int:
    """How many runs an optimizer gets."""
    trials = protocol.trials if entry.default_rate is not None else 1
    return trials * protocol.seeds + min(protocol.finalists, trials) * protocol.finalist_seeds
