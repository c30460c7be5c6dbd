"""How a tuning goes: batch after batch of what the sampler asks for, rung after rung, then the finalists."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from thalweg.lab.own_loop.pruning import PRUNERS, Pruning
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.results.tuning import finalists
from thalweg.lab.search import hyperparameters as hyperparameter
from thalweg.lab.search import samplers
from thalweg.lab.search.configurations import candidates_of
from thalweg.lab.search.pruning import Rungs
from thalweg.lab.study.campaign import Campaign
from thalweg.lab.study.session import seeds_run, tell_cut, tried
from thalweg.lab.training.trial import Trial
from thalweg.lab.verbs import so_far

if TYPE_CHECKING:
    from thalweg.catalogue import Entry


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
        tries = [default | self._coordinates(one) for one in self.protocol.get("try", [])]
        first, count, index, rounds = [default, *tries], self.protocol["trials"], 0, 0
        while index < count and not self.campaign.deadline.passed:
            size = min(self.protocol["batch"], count - index)
            batch, first = first[:size], first[size:]
            batch += self.sampler.ask(size - len(batch))
            if not batch:
                break  # the grid is at its end
            self._round(index, batch, rounds)
            index, rounds = index + len(batch), rounds + 1
        searched, self.campaign.deadline.passed = self.campaign.deadline.passed, False  # time was left for these
        seeds = self._finals()
        ran = {trial.index for trial in self.campaign.asked.values() if trial.phase != "final"}
        lines = [tried(self.campaign, len(ran), count)] if searched else []
        if self.campaign.deadline.passed:
            lines.append(seeds_run(seeds, self.protocol["finalist_seeds"]))
        tell_cut(self.campaign, lines)

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
        pruning = self._pruning() if start else None  # the first batch has nothing to be measured by
        jobs = {
            (member, seed): self.campaign.job(
                self.entry,
                settings_of,
                seed,
                phase=phase,
                index=self._index(settings_of, batch, start + member),
                batch_size=batch,
                epochs=epochs,
                pruning=pruning,
            )
            for seed in range(self.protocol["seeds"])
            for member, (settings_of, batch) in settings.items()
        }
        new = {job.id for job in jobs.values()} - set(self.campaign.asked)
        self.campaign.total -= len(jobs) - len(new)
        reserve = (self.protocol["finalists"] + 1) * self.protocol["finalist_seeds"]
        ended = {trial.id: trial for trial in self.campaign.run(list(jobs.values()), reserve)}
        trials = {key: ended[job.id] for key, job in jobs.items() if job.id in ended}
        seeds = range(self.protocol["seeds"])
        return {
            member: self._score([trials[member, seed] for seed in seeds if (member, seed) in trials])
            for member in settings
        }

    def _index(self, settings: Mapping[str, Any], batch_size: int | None, member: int) -> int:
        return self.first_at.setdefault(repr((sorted(settings.items()), batch_size)), member)

    def _coordinates(self, values: Mapping[str, Any]) -> samplers.Coordinates:
        """Values as they are searched."""
        return {one.name: one.searched(values[one.name]) for one in self.hyperparameters if one.name in values}

    def _settings(self, coordinates: Mapping[str, float]) -> tuple[dict[str, Any], int | None]:
        values = {one.name: one.value(coordinates[one.name]) for one in self.hyperparameters}
        return hyperparameter.settings(self.entry, self.hyperparameters, values)

    def _pruning(self) -> Pruning | None:
        """What the runs of a batch are measured by: those that had been told of before it was asked for."""
        if self.protocol["pruner"] not in PRUNERS:
            return None
        curves = tuple(
            tuple(zip(trial.curve.steps, trial.curve.validation_metric, strict=True))
            for trial in self.campaign.asked.values()
            if trial.done and trial.curve.steps
        )
        return Pruning(self.protocol["pruner"], curves, self.larger)

    def _default(self) -> tuple[dict[str, Any], int | None]:
        return hyperparameter.settings(
            self.entry, self.hyperparameters, {one.name: one.default for one in self.hyperparameters}
        )

    def _score(self, trials: Sequence[Trial]) -> float:
        """Less is better; a failure on any seed is as bad as can be, and so is what the deadline left out."""
        if not trials:
            return math.inf
        if not all(trial.done for trial in trials) or any(math.isnan(trial.metric) for trial in trials):
            return math.inf
        mean = sum(trial.metric for trial in trials) / len(trials)
        return -mean if self.larger else mean

    def _finals(self) -> int:
        """The fresh seeds; how many of them were run."""
        if not self.campaign.searched(self.entry.name):
            return 0
        going = finalists(
            candidates_of(self.campaign.searched(self.entry.name)), self.protocol["finalists"], self.larger
        )
        jobs = [
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
        so_far.tell(self.campaign, jobs)
        return len({trial.seed for trial in self.campaign.run(jobs)})
