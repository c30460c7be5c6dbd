"""All hyperparameters of one optimizer, by whichever search one likes; then its best against its default."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from thalweg.lab.arguments import folder_of, integer, search_seeds, seconds, the_task
from thalweg.lab.cost.price import Estimate
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.passwords import without_passwords
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.recording import record as recorder
from thalweg.lab.results import Tuning
from thalweg.lab.results.tuning import finalists
from thalweg.lab.search import hyperparameters as hyperparameter
from thalweg.lab.search import order, samplers
from thalweg.lab.search.configurations import candidates_of
from thalweg.lab.search.pruning import Rungs
from thalweg.lab.study.campaign import Campaign
from thalweg.lab.study.optimizers import check_fit, resolve
from thalweg.lab.study.records import read_spec
from thalweg.lab.study.session import affordable, describe, open_campaign, settled
from thalweg.lab.task.task import Task
from thalweg.lab.training.trial import Trial
from thalweg.lab.verbs.options import Budget, Epochs, Out, Record, Tell, TheOptimizer, TheTask, TimeLimit, Where
from thalweg.lab.verbs.verb import Option, verb

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

__all__ = ["Tuning", "tune"]

LEAST = 5  # trials of a budget


@verb
def tune(
    task: TheTask,
    optimizer: TheOptimizer,
    *,
    method: Annotated[
        Any,
        Option(
            "tpe, learned, grid, random, sobol, halton, gp, cmaes, nsgaii, nsgaiii or qmc.",
            python="one of Optuna's sampler objects",
        ),
    ] = "tpe",
    hyperparameters: Annotated[
        Any,
        Option(
            "lr, betas, eps, weight_decay, momentum, batch_size, with ranges where you like: lr=1e-4:1e-1,betas.",
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
            "asha or hyperband: configurations train a part of the epochs first, and only the best third goes on.",
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
    budget: Budget = None,
    epochs: Epochs = None,
    time_limit: TimeLimit = None,
    on: Where = "auto",
    out: Out = None,
    record: Record = False,
    progress: Tell = None,
) -> Tuning:
    """Tune an optimizer, and tell whether that was worth it. Rerun it to resume the study.

    Raises:
        TaskError: for a task that cannot be trained.
        StudyError: for a folder that holds another study.
        LabError: for anything else that is not allowed.
    """
    task, loaded_from, here = the_task(task)
    entries = resolve(optimizer)
    if len(entries) > 1:
        raise LabError(f"optimizer: got {len(entries)}; must be one: `thalweg compare` compares several")
    numbers = {"trials": trials, "seeds": seeds, "batch": batch, "finalists": finalists}
    numbers = {name: integer(name, value) for name, value in {**numbers, "finalist_seeds": finalist_seeds}.items()}
    search_seeds(seeds)
    epochs = task.epochs if epochs is None else integer("epochs", epochs)
    rungs = Rungs.of(pruner, epochs)
    chosen = hyperparameter.choose(entries[0], task, hyperparameters)
    longest = seconds("time_limit", time_limit)
    folder = folder_of(out, here, task.name, "tune", entries[0].name)
    source = without_passwords(from_optuna) if isinstance(from_optuna, str) else from_optuna  # as the study keeps it
    known = settled(folder, "from_optuna", source, "known", lambda: _known(from_optuna, chosen, task))
    first = []
    if (name := samplers.name_of(method)) == samplers.LEARNED:
        first = settled(folder, "method", name, "order", lambda: order.coordinates(entries[0], chosen))
    # What is wrong with it shows before anything is trained.
    samplers.build(method, chosen, 1, _as_coordinates(known, chosen), first)
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
        **({"order": first} if first else {}),
        "budget": seconds("budget", budget),
        "alpha": 0.05,
    }
    estimate = Estimate(task, entries, epochs, longest)
    at_once = max(batch * seeds, (finalists + 1) * finalist_seeds)
    if protocol["budget"] is not None:
        protocol["trials"] = within(protocol, estimate, on, folder, at_once)
    _grid_stays(folder, protocol)
    spec = describe("tune", task, loaded_from, epochs, entries, protocol)
    with open_campaign(estimate, spec, folder, price, on=on, at_once=at_once, progress=progress) as campaign:
        agreed = campaign.study.spec["protocol"]
        told = _as_coordinates(known, chosen)
        sampler = samplers.build(method, chosen, agreed["trials"] - 1, told, agreed.get("order", ()))
        Tuner(campaign, entries[0], chosen, sampler, rungs, agreed).run()
        result = Tuning(*campaign.study.parts)
        result.save()
        if record:
            recorder.record(campaign, entries, result)
    return result


def price(spec: Mapping[str, Any]) -> int:
    """How many runs a tuning has at most: two equal configurations are trained once."""
    protocol = spec["protocol"]
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
        old = read_spec(folder)["protocol"].get("trials")
        if old != protocol["trials"]:
            raise StudyError(f"out: {folder} is a grid of {old} trials, not {protocol['trials']}; choose another --out")


def within(protocol: Mapping[str, Any], estimate: Estimate, on: str, folder: Path, at_once: int) -> int:
    """As many trials as the budget allows; as before where the study has begun."""
    (entry,) = estimate.entries

    def runs(trials: int) -> dict[str, int]:
        return {entry.name: price({"protocol": {**protocol, "trials": trials}})}

    def cut() -> int:
        wanted = protocol["trials"]
        return affordable(estimate, protocol["budget"], on, runs, wanted, min(LEAST, wanted), at_once)

    return int(settled(folder, "budget", protocol["budget"], "trials", cut))


class Tuner:
    """Plans a tuning: the default, batch after batch of what the sampler asks for, then the finalists."""

    def __init__(
        self,
        campaign: Campaign,
        entry: Entry,
        hyperparameters: Sequence[hyperparameter.SearchRange],
        sampler: samplers.Sampler,
        rungs: Rungs,
        protocol: Mapping[str, Any],
    ) -> None:
        self.campaign, self.entry, self.hyperparameters, self.sampler = campaign, entry, hyperparameters, sampler
        self.rungs, self.protocol = rungs, protocol
        self.larger = campaign.task.larger_is_better
        self.first_at: dict[str, int] = {}  # what is asked for twice is one setting: its place is the first one

    def run(self) -> None:
        default = {one.name: one.searched(one.default) for one in self.hyperparameters}
        first, count, index, rounds = [default], self.protocol["trials"], 0, 0
        while index < count:
            batch = first + self.sampler.ask(min(self.protocol["batch"], count - index) - len(first))
            if not batch:
                break  # the grid is at its end
            self._round(index, batch, rounds)
            index, first, rounds = index + len(batch), [], rounds + 1
        self._finals()

    def _round(self, start: int, coordinates: Sequence[samplers.Coordinates], number: int) -> None:
        """Train a batch, rung after rung, and tell the sampler in the order in which it was asked."""
        settings = [self._settings(one) for one in coordinates]
        if start == 0:  # exactly as it is, which the logarithmic scale cannot always say: a decay of 0
            settings[0] = self._default()
        left = list(range(len(coordinates)))
        ends: dict[int, tuple[float, int | None]] = {}
        ladder = self.rungs.ladder(number)
        for epochs in ladder:
            last = epochs == ladder[-1]
            scores = self._train({member: settings[member] for member in left}, start, epochs, last)
            ends |= {member: (score, None if last else epochs) for member, score in scores.items()}
            if not last:
                # The default goes through: it is what the rest is measured by.
                safe = [0] if start == 0 else []
                others = sorted(set(left) - set(safe), key=lambda member: (scores[member], member))
                left = safe + sorted(others[: self.rungs.promoted(len(others))])
        for member, (score, pruned_at) in sorted(ends.items()):
            self.sampler.tell(coordinates[member], score, pruned_at)

    def _train(
        self, settings: Mapping[int, tuple[dict[str, Any], int | None]], start: int, epochs: int, last: bool
    ) -> dict[int, float]:
        phase = "search" if last else f"rung {epochs}"
        jobs = {
            (member, seed): self.campaign.job(
                self.entry,
                settings_of,
                seed,
                phase=phase,
                index=self._index(settings_of, batch, start + member),
                batch_size=batch,
                epochs=epochs,
            )
            for seed in range(self.protocol["seeds"])
            for member, (settings_of, batch) in settings.items()
        }
        new = {job.id for job in jobs.values()} - set(self.campaign.asked)
        self.campaign.total -= len(jobs) - len(new)
        trials = dict(zip(jobs, self.campaign.run(list(jobs.values())), strict=True))
        return {
            member: self._score([trials[member, seed] for seed in range(self.protocol["seeds"])]) for member in settings
        }

    def _index(self, settings: Mapping[str, Any], batch_size: int | None, member: int) -> int:
        return self.first_at.setdefault(repr((sorted(settings.items()), batch_size)), member)

    def _settings(self, coordinates: Mapping[str, float]) -> tuple[dict[str, Any], int | None]:
        values = {one.name: one.value(coordinates[one.name]) for one in self.hyperparameters}
        return hyperparameter.settings(self.entry, self.hyperparameters, values)

    def _default(self) -> tuple[dict[str, Any], int | None]:
        return hyperparameter.settings(
            self.entry, self.hyperparameters, {one.name: one.default for one in self.hyperparameters}
        )

    def _score(self, trials: Sequence[Trial]) -> float:
        """Less is better; a failure on any seed is as bad as can be."""
        if not all(trial.done for trial in trials):
            return math.inf
        mean = sum(trial.metric for trial in trials) / len(trials)
        return -mean if self.larger else mean

    def _finals(self) -> None:
        going = finalists(
            candidates_of(self.campaign.searched(self.entry.name)), self.protocol["finalists"], self.larger
        )
        self.campaign.run(
            [
                self.campaign.job(
                    self.entry,
                    candidate.settings,
                    seed,
                    phase="final",
                    index=candidate.index,
                    batch_size=candidate.trials[0].batch_size,
                )
                for seed in range(FRESH, FRESH + self.protocol["finalist_seeds"])
                for candidate in going
            ]
        )
