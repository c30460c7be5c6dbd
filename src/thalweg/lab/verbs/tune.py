"""All hyperparameters of one optimizer, by whichever search one likes; then its best against its default."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from thalweg.lab.arguments import folder_of, integer, search_seeds, seconds, several, the_task
from thalweg.lab.cost.price import Estimate
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.own_loop.pruning import PRUNERS
from thalweg.lab.own_loop.pruning import pruner as find_pruner
from thalweg.lab.passwords import remember, without_passwords
from thalweg.lab.recording import record as recorder
from thalweg.lab.results import Tuning
from thalweg.lab.runners.resources import Resources
from thalweg.lab.search import declared, order, samplers
from thalweg.lab.search import hyperparameters as hyperparameter
from thalweg.lab.search.pruning import Rungs
from thalweg.lab.study.campaign import RETRIES
from thalweg.lab.study.deadline import Deadline
from thalweg.lab.study.optimizers import check_fit, one_of
from thalweg.lab.study.records import find_spec, read_spec
from thalweg.lab.study.session import (
    affordable,
    check_ended,
    describe,
    keep_baselines,
    keep_wanted,
    open_campaign,
    planned,
    settled,
)
from thalweg.lab.study.store import default_folder
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.task.task import Task
from thalweg.lab.training.spec import Spec
from thalweg.lab.verbs import earlier as earlier_study
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
    Out,
    Read,
    Record,
    Retries,
    Tell,
    TheOptimizer,
    TheTask,
    TimeLimit,
    Where,
)
from thalweg.lab.verbs.tuner import Tuner
from thalweg.lab.verbs.verb import Option, verb

__all__ = ["Tuning", "tune"]

LEAST = 5  # trials of a budget


@verb
def tune(
    task: TheTask = None,
    optimizer: TheOptimizer = None,
    *,
    method: Annotated[
        Any,
        Option(
            "learned, tpe, grid, random, sobol, halton, gp, cmaes, nsgaii, nsgaiii or qmc.",
            unset="learned where the optimizer has a list for what is tuned, else tpe",
            python="one of Optuna's sampler objects",
        ),
    ] = None,
    hyperparameters: Annotated[
        Any,
        Option(
            "lr, betas, eps, weight_decay, momentum, batch_size, with ranges where you like: lr=1e-4:1e-1,betas. Of a "
            "training loop of your own also what only it knows: dropout=0:0.5,activation=relu|gelu.",
            unset="all but the batch size",
            python="a dictionary of names and ranges",
        ),
    ] = None,
    trials: Annotated[
        int, Option("Configurations to try, the default first; more can be added later, but for a grid.")
    ] = 40,
    seeds: Annotated[int, Option("Seeds for each in the search; a configuration counts as its mean.")] = 1,
    batch: Annotated[
        int, Option("Configurations chosen at once, before any of them has ended, to train side by side.")
    ] = 8,
    finalists: Annotated[int, Option("Configurations that advance to fresh seeds, against the default.")] = 2,
    finalist_seeds: Annotated[int, Option("Fresh seeds for each of these; more can be added later.")] = 5,
    pruner: Annotated[
        str | None,
        Option(
            "asha or hyperband: configurations train a part of the epochs first, and only the best third goes on, a "
            "loop of your own from its checkpoint. For one that reports also median, percentile or halving.",
            unset="none",
        ),
    ] = None,
    from_optuna: Annotated[
        str | None,
        Option(
            "A storage and a study, sqlite:///x.db:study, whose finished trials the sampler is told. They are no "
            "evidence: nothing is concluded from them.",
            unset="none",
        ),
    ] = None,
    from_study: Annotated[
        str | Path | None,
        Option(
            "The folder of an earlier study with this optimizer (tune, compare or sweep): its best configuration is "
            "tried first, and the sampler is told all. They are no evidence: nothing is concluded from them.",
            names=("--from",),
            unset="none",
        ),
    ] = None,
    try_first: Annotated[
        Any,
        Option(
            "Configurations to try first, after the default: 'lr=3e-4,beta1=0.9; lr=1e-3'. What one does not name "
            "is as in the default, or in the middle of its range where only your loop knows its default.",
            names=("--try",),
            unset="none",
            python="dictionaries",
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
) -> Tuning:
    """Tune an optimizer, and tell whether that was worth it. Rerun it to resume the study.

    Raises:
        TaskError: for a task that cannot be trained.
        StudyError: for a folder that holds another study.
        LabError: for anything else that is not allowed.
    """
    deadline = Deadline(seconds("budget", budget), time.monotonic())
    task, loaded_from, here = the_task(
        task, command, direction=direction, metric=metric, read=read, file=metric_file, baseline=baseline, length=steps
    )
    resources = Resources(gpus, gpus_per_run, cpus_per_run)
    integer("retries", retries, least=0)
    entries = one_of(optimizer, task)
    numbers = {"trials": trials, "seeds": seeds, "batch": batch, "finalists": finalists}
    numbers = {name: integer(name, value) for name, value in {**numbers, "finalist_seeds": finalist_seeds}.items()}
    search_seeds(seeds)
    epochs = task.epochs if epochs is None else integer("epochs", epochs)
    rungs = _rungs(pruner, task, epochs)
    chosen = declared.choose(entries[0], task, hyperparameters)
    tries = declared.first_tries(try_first, chosen)
    longest = seconds("time_limit", time_limit)
    own = [] if entries[0].name == task.name else [entries[0].name]  # of a command that makes its optimizer itself
    folder = folder_of(out, here, task.name, "tune", *own)
    remember(from_optuna)
    source = without_passwords(from_optuna) if isinstance(from_optuna, str) else from_optuna  # as the study keeps it
    known = settled(folder, "from_optuna", source, "known", lambda: _known(from_optuna, chosen, task))
    before = None if from_study is None else str(from_study)
    earlier = settled(
        folder, "from_study", before, "earlier",
        lambda: [] if before is None else earlier_study.known(before, entries[0].name, chosen, task.larger_is_better),
    )  # fmt: skip
    tries = [*earlier_study.best_of(earlier, chosen), *tries]
    unset = method is None
    if unset:  # what was found elsewhere leads better than a list of other tasks
        fits = from_optuna is None and from_study is None and order.fits(entries[0], chosen)
        method = samplers.LEARNED if fits else "tpe"
    learned = samplers.name_of(method) == samplers.LEARNED
    first = order.coordinates(entries[0], chosen) if learned else []
    # What is wrong with it shows before anything is trained.
    samplers.build(method, chosen, 1, _as_coordinates([*known, *earlier], chosen), first)
    task.check()
    check_fit(task, entries)
    if record:
        recorder.check(task)
    protocol = {
        "method": samplers.name_of(method),
        "hyperparameters": {one.name: one.range for one in chosen},
        **numbers,
        "pruner": pruner,
        "rungs": list(rungs.epochs),
        "from_optuna": source,
        "known": known,
        **({"from_study": before, "earlier": earlier} if before is not None else {}),
        **({"order": first} if first else {}),
        "budget": seconds("budget", budget),
        "alpha": 0.05,
        **({"try": tries} if tries else {}),
    }
    spec = describe("tune", task, loaded_from, epochs, entries, protocol)
    if unset and first and _begun_by_tpe(folder, spec, out is None):
        method = protocol["method"] = "tpe"
        del protocol["order"]
        spec["protocol"] = protocol
    folder = folder if out is not None else default_folder(folder, spec)
    if "order" in protocol:  # a study keeps the list that it began with
        protocol["order"] = settled(folder, "method", samplers.LEARNED, "order", lambda: first)
    estimate = Estimate(task, entries, epochs, longest, resources)
    at_once = max(batch * seeds, (finalists + 1) * finalist_seeds)
    if protocol["budget"] is not None:
        protocol["trials"] = within(protocol, estimate, on, folder, at_once)
    _grid_stays(folder, protocol)
    spec["protocol"] = protocol
    with open_campaign(
        estimate,
        spec,
        folder,
        lambda asked: price(asked["protocol"]),
        on=on,
        at_once=at_once,
        deadline=deadline,
        retries=retries,
        progress=progress,
    ) as campaign:
        agreed = campaign.study.spec["protocol"]
        keep_wanted(campaign, trials, agreed["trials"])
        told = _as_coordinates([*known, *earlier], chosen)
        sampler = samplers.build(method, chosen, agreed["trials"] - 1, told, agreed.get("order", ()))
        Tuner(campaign, entries[0], chosen, sampler, rungs, agreed).run()
        keep_baselines(campaign, "test")
        check_ended(campaign, Tuning)
        result = Tuning(*campaign.study.parts)
        result.save()
        if record:
            recorder.record(campaign, entries, result)
    return result


def _begun_by_tpe(folder: Path, spec: Spec, free: bool) -> bool:
    """Whether there is a study of the same question by TPE, the default of earlier versions, and none by a list: the
    same command goes on with it.

    Args:
        free: to take another folder where this one holds another study.
    """
    if not free:
        old = find_spec(folder)
        return old is not None and old["protocol"].get("method") == "tpe"
    protocol = {name: value for name, value in spec["protocol"].items() if name != "order"}
    by_tpe: Spec = {**spec, "protocol": {**protocol, "method": "tpe"}}
    return find_spec(default_folder(folder, spec)) is None and find_spec(default_folder(folder, by_tpe)) is not None


def _rungs(pruner: str | None, task: Task, epochs: int) -> Rungs:
    """The rungs of a pruner; one of Optuna's looks at the reports of the user's own loop instead."""
    if isinstance(task, OwnLoop) and pruner in PRUNERS:
        find_pruner(pruner)
        return Rungs((epochs,))
    if isinstance(task, OwnLoop) and pruner is not None and task.length is None:
        raise LabError(f"pruner: {pruner} needs steps, the last step that a run reports; or take {', '.join(PRUNERS)}")
    return Rungs.of(pruner, epochs)


def price(protocol: Mapping[str, Any]) -> int:
    """How many runs a tuning has at most: two equal configurations are trained once."""
    count = protocol["trials"]
    if protocol["method"] == "grid":
        count = 1 + len(samplers.spread("grid", len(protocol["hyperparameters"]), count - 1)) if count > 1 else 1
    rungs = Rungs(tuple(protocol["rungs"]), protocol["pruner"] == "hyperband")
    finals = min(protocol["finalists"] + 1, count) * protocol["finalist_seeds"]
    return rungs.runs(count, protocol["batch"]) * int(protocol["seeds"]) + int(finals)


def _known(where: str | None, chosen: Sequence[hyperparameter.SearchRange], task: Task) -> list[dict[str, Any]]:
    """What another study found: for each finished trial its values and its score."""
    if where is None:
        return []
    from thalweg.lab.exports.optuna import read

    return read(where, [one.name for one in chosen], task.larger_is_better)


def _as_coordinates(
    known: Sequence[Mapping[str, Any]], chosen: Sequence[hyperparameter.SearchRange]
) -> list[tuple[samplers.Coordinates, float]]:
    """Known points on the searched scale; a hyperparameter that was not among theirs counts as at its default."""
    return [
        ({one.name: one.searched(trial["values"].get(one.name, one.default)) for one in chosen}, trial["score"])
        for trial in known
    ]


def _grid_stays(folder: Path, protocol: Mapping[str, Any]) -> None:
    """A larger grid has other points: it cannot be grown out of a smaller one."""
    if protocol["method"] == "grid" and (folder / "spec.json").exists():
        old = read_spec(folder)["protocol"]
        if old.get("method") == "grid" and (had := int(old["trials"])) != (wanted := protocol["trials"]):
            raise StudyError(f"out: {folder} is a grid of {several(had, 'trial')}, not {wanted}; choose another --out")


def within(protocol: Mapping[str, Any], estimate: Estimate, on: str, folder: Path, at_once: int) -> int:
    """As many trials as the budget allows; as before where the study has begun."""
    (entry,) = estimate.entries

    def runs(trials: int) -> dict[str, int]:
        return {entry.name: price({**protocol, "trials": trials})}

    def cut() -> int:
        wanted = protocol["trials"]
        return affordable(estimate, protocol["budget"], on, runs, wanted, min(LEAST, wanted), at_once)

    if protocol["method"] == "grid":  # a larger one has other points
        return int(planned(folder, "trials", cut))
    return int(settled(folder, "budget", protocol["budget"], "trials", cut))
