"""What a tuning found: the best setting, and whether it beats the default one on fresh seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from thalweg.lab.arguments import length, several
from thalweg.lab.judging.failures import reason_of
from thalweg.lab.judging.importance import importances
from thalweg.lab.judging.notes import data_note, failures
from thalweg.lab.judging.nothing_learned import unbeaten
from thalweg.lab.judging.statistics import Interval, Judgement, judge, mean_interval
from thalweg.lab.judging.wording.numbers import behind, beyond, course, of_task, subject
from thalweg.lab.results.result import Result
from thalweg.lab.search.configurations import Candidate, candidates_of, ranked
from thalweg.lab.search.hyperparameters import numbers
from thalweg.lab.study.optimizers import paste
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial


def finalists(candidates: Sequence[Candidate], wanted: int, larger_is_better: bool) -> list[Candidate]:
    """The default and the best others of a search."""
    best = ranked([candidate for candidate in candidates if candidate.index != 0], larger_is_better)
    return [candidates[0], *best[:wanted]]


class Tuning(Result):
    """A finished tuning of one optimizer.

    Beside what every result has: `rows` are its settings tried in full, best first (a setting's `index` tells when it
    was tried, 0 is the default); `finals` those that went on to fresh seeds, by index; `tuned` and `default` two of
    these; `judgement` is of the paired differences on the test set, positive where `tuned` is better (None where a
    fresh seed of either failed); `margin` is what counts as equal; `hyperparameters` are the ranges that were searched;
    `history` the best value so far after each setting.
    """

    verb = "tune"

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        (self.optimizer,) = self.spec["optimizers"]
        protocol = self.spec["protocol"]
        candidates = self.candidates[self.optimizer]
        self.rows = tuple(ranked(candidates, self.larger_is_better))
        going = {candidate.index for candidate in finalists(candidates, protocol["finalists"], self.larger_is_better)}
        ended = candidates_of(trial for trial in self.trials if trial.phase == "final" and trial.index in going)
        self.finals = {candidate.index: candidate for candidate in ended}
        self.default = self.finals[0]
        others = [candidate for candidate in ended if candidate.index != 0]
        self.tuned = ranked(others, self.larger_is_better)[0] if others else self.default
        self.margin = self.margin_beside(self.interval(self.default).mean)
        self.judgement = self._judge()
        self.line = self._line()
        self.verdict = sentence(self)
        self._say_if_nothing_was_learned()
        self.notes = [*_describe(self), *failures(self.trials), *self.notes]

    def _say_if_nothing_was_learned(self) -> None:
        """Neither the tuned configuration nor the default surely beats what has learned nothing."""
        (values, known), (plain_values, _) = ends = self.ends("test", [self.tuned.trials, self.default.trials])
        self.verdict = behind(self.verdict, [*self.left_out(), *(self.untested(known) if self.line else [])])
        rest = [one.trials for one in self.finals.values() if one not in (self.tuned, self.default)]
        rivals = self.ends("test", rest)
        bases = [
            unbeaten(one, base, self.larger_is_better, [other, *rivals], self.margin)
            for (one, base), other in zip(ends, reversed(ends), strict=True)
            if one
        ]
        if self.tuned is not self.default and bases and all(bases):
            best, mean = self.interval(self.tuned).mean, self.interval(self.default).mean
            plain = not values or (bool(plain_values) and _better(best, mean, self.larger_is_better) != best)
            shown, base = (self.default, bases[-1]) if plain else (self.tuned, bases[0])
            assert base is not None
            measured = f"{self.unit.interval(self.interval(shown))} {self.unit.test} on "
            measured += several(len(shown.trials), "fresh seed")
            name = f"the {'default' if plain else 'best'} {of_task(self.optimizer, self.spec['task']['name'])}"
            self.verdict = behind(f"{base.said(name, measured, self.unit)}.", self.left_out())
            self.line = self.unlearned_line(self.optimizer, base)

    @classmethod
    def lacking(cls, spec: Spec, trials: Sequence[Trial], cut: bool = False) -> str:
        if not any(trial.phase == "final" and trial.index == 0 for trial in trials):
            return "no fresh seed of the default setting has been trained"
        if gone := cls.unsearched(trials):
            return f"{gone} is missing"
        candidates = candidates_of(trial for trial in trials if trial.phase == "search")
        going = {
            p.index for p in finalists(candidates, spec["protocol"]["finalists"], spec["task"]["larger_is_better"])
        }
        # Who was a finalist before more trials were asked for needs no more seeds.
        missing = "" if cut else cls.seeds_missing(spec, [trial for trial in trials if trial.index in going])
        return f"it lacks {missing}" if missing else ""

    def _shown(self) -> dict[str, Sequence[Trial]]:
        found = {} if self.tuned is self.default else {f"{self.optimizer}, tuned": self.tuned.trials}
        return {**found, f"{self.optimizer}, default": self.default.trials}

    @property
    def method(self) -> str:
        """How it was searched, in words: a learned order is the beginning of a search."""
        method = str(self.spec["protocol"]["method"])
        return "a learned order, then tpe" if method == "learned" else method

    @property
    def hyperparameters(self) -> dict[str, dict[str, Any]]:
        """By name: `low` and `high` of what was searched on a logarithmic scale, which is 1 - value where
        `complement`."""
        return dict(self.spec["protocol"]["hyperparameters"])

    @property
    def tried(self) -> int:
        """How many configurations were run, some of them perhaps for a part of the epochs."""
        return len({trial.index for trial in self.trials if trial.phase != "final"})

    @property
    def history(self) -> list[tuple[int, float]]:
        """(index, best validation metric so far), in the order of trial; failures leave it as it was."""
        best, found = math.nan, []
        for candidate in self.candidates[self.optimizer]:
            best = _better(best, math.nan if candidate.failed else candidate.metric, self.larger_is_better)
            found.append((candidate.index, best))
        return found

    @property
    def spent(self) -> list[tuple[float, Candidate, float]]:
        """(seconds of runs so far, configuration, best validation metric so far), in the order in which they ended:
        runs that were given up or failed are paid for too."""
        after, seconds = {}, 0.0
        for trial in self.trials:
            if trial.phase != "final":
                seconds += trial.seconds
                after[trial.index] = seconds
        best, found = math.nan, []
        for candidate in sorted(self.candidates[self.optimizer], key=lambda one: after[one.index]):
            best = _better(best, math.nan if candidate.failed else candidate.metric, self.larger_is_better)
            found.append((after[candidate.index], candidate, best))
        return found

    @cached_property
    def importance(self) -> dict[str, float]:
        """By hyperparameter the share of the metric's variance over the search that it explains, the largest first;
        empty after fewer than a dozen configurations."""
        ended = [(self.values(one), one.metric) for one in self.candidates[self.optimizer] if not one.failed]
        return importances(ended, self.hyperparameters)

    def interval(self, candidate: Candidate) -> Interval:
        """A finalist's test metric over its fresh seeds."""
        return mean_interval([trial.test_metric for trial in candidate.trials if trial.test_metric is not None])

    def values(self, candidate: Candidate) -> dict[str, Any]:
        """A setting, a number a hyperparameter, or the option that was taken."""
        named = {name: value for name, value in candidate.settings.items() if isinstance(value, str)}
        return {**numbers(candidate.settings, candidate.trials[0].batch_size), **named}

    @property
    def table(self) -> list[dict[str, Any]]:
        """One dictionary a setting that was trained in full, the best of the search first."""
        return [
            {
                "rank": rank,
                "index": candidate.index,
                **self.values(candidate),
                "line": paste(self.spec, self.optimizer, candidate.settings, candidate.trials[0].batch_size),
                "validation": candidate.metric,
                "validation_loss": candidate.loss,
                "failed": candidate.failed,
                "test": self.interval(self.finals[candidate.index]).mean
                if candidate.index in self.finals
                else math.nan,
                "role": self._role(candidate),
            }
            for rank, candidate in enumerate(self.rows, 1)
        ]

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """The ten best settings and the default."""
        names = list(dict.fromkeys(name for candidate in self.rows for name in self.values(candidate)))
        shown = [*self.rows[:10], *(candidate for candidate in self.rows[10:] if candidate.index == 0)]
        ends = (self.unit.validation, self.unit.test)
        if not self.unit.parted:
            ends = (f"{self.unit.name}, search", f"{self.unit.name}, fresh seeds")
        headings = ["trial", *names, *ends, ""]
        return headings, [self._cells(candidate, names) for candidate in shown]

    def _cells(self, candidate: Candidate, names: Sequence[str]) -> list[str]:
        values = self.values(candidate)
        final = self.finals.get(candidate.index)
        return [
            str(candidate.index),
            *(_short(values[name]) if name in values else "default" for name in names),
            "failed" if candidate.failed else self.unit.value(candidate.metric),
            self.unit.interval(self.interval(final)) if final else "",
            self._role(candidate),
        ]

    def _role(self, candidate: Candidate) -> str:
        if candidate.index == 0:
            return "default"
        return "tuned" if candidate.index == self.tuned.index else "finalist" if candidate.index in self.finals else ""

    def _judge(self) -> Judgement | None:
        others = {trial.seed: trial for trial in self.default.trials}  # one may lack a seed: interrupted from outside
        pairs = [(trial, others[trial.seed]) for trial in self.tuned.trials if trial.seed in others]
        if self.tuned is self.default or not pairs or not all(a.done and b.done for a, b in pairs):
            return None
        sign = 1.0 if self.larger_is_better else -1.0
        differences = [sign * ((a.test_metric or 0.0) - (b.test_metric or 0.0)) for a, b in pairs]
        return judge({"tuned": differences}, self.margin, self.spec["protocol"]["alpha"])["tuned"]

    def _line(self) -> str:
        """The tuned configuration; the default where it is equivalent or looks better, as it needs no defense."""
        found = self.judgement
        plain = found is not None and (found.verdict in ("equivalent", "worse") or found.difference.mean < 0)
        best = self.default if self.tuned.failed and not self.default.failed else self.tuned
        best = self.default if plain else best
        if not any(trial.done for trial in best.trials):
            return ""
        chosen = {} if best is self.default and not self.spec["task"].get("loop") else best.settings
        return paste(self.spec, self.optimizer, chosen, None if best is self.default else best.trials[0].batch_size)


def _better(best: float, value: float, larger: bool) -> float:
    """The better of two, of which either may be NaN."""
    if math.isnan(value):
        return best
    return value if math.isnan(best) or (value > best if larger else value < best) else best


def sentence(found: Tuning) -> str:
    """The answer: what was found, against the default, and how sure that is."""
    unit, task, name = found.unit, found.spec["task"]["name"], found.optimizer
    seeds = several(len(found.default.trials), "fresh seed")
    if found.tuned is found.default:
        return f"{subject(name, task)}: nothing but the default was tried."
    if found.tuned.failed and found.default.failed:
        return f"No answer for {subject(name, task)}: the default and the best other configuration fail on fresh seeds."
    runs = [trial for candidate in (found.tuned, found.default) for trial in candidate.trials]
    if not any(trial.done for trial in runs):
        why = next((reason for trial in runs if (reason := reason_of(trial))), "")
        return f"No answer for {subject(name, task)}: no run on a fresh seed ended{f'; {why}' if why else ''}."
    setting = ", ".join(f"{name} {_short(value)}" for name, value in found.values(found.tuned).items())
    head = f"{subject(name, task)}, tuned to {setting}"
    values = f"{unit.interval(found.interval(found.tuned))} against {unit.interval(found.interval(found.default))} "
    values += f"{unit.test} on {seeds}"
    if found.judgement is None:
        if not (found.tuned.failed or found.default.failed):
            return f"Undecided: {head}: runs on fresh seeds were interrupted; rerun the command to train them again."
        which = "it fails on a fresh seed" if found.tuned.failed else "the default fails on a fresh seed, it does not"
        return f"{head}: {which}."
    gap = found.judgement.difference
    by = f"{unit.gap(gap.mean, gap.half)}{' points' if unit.percent else ''}"
    if found.judgement.verdict == "undecided":
        more = found.judgement.more_seeds
        needed = (
            f"about {several(more, 'more seed')} needed for 80 % power" if more else "a thousand seeds would not decide"
        )
        needed = "one seed cannot tell" if gap.n < 2 else needed
        return f"Undecided: {head}, is {by} off the default ({values}); {needed}."
    ends = {
        "better": f"beats the default by {by}",
        "worse": f"is worse than the default by {by}: keep the default",
        "equivalent": f"is equivalent to the default ({by}): keep the default",
    }
    return f"{head}, {ends[found.judgement.verdict]}: {values}."


def _describe(found: Tuning) -> list[str]:
    protocol, task = found.spec["protocol"], found.spec["task"]
    cut = f" Cut to fit a budget of {length(protocol['budget'])}." if protocol.get("budget") else ""
    ranges = ", ".join(_range(name, hyperparameter) for name, hyperparameter in found.hyperparameters.items())
    notes = [
        f"Searched: {ranges}, on logarithmic scales (of 1 - value for momentum and betas), by {found.method}, "
        f"{several(found.tried, 'configuration')} in batches of {protocol['batch']}, the default first; "
        f"{several(protocol['seeds'], 'seed')} each, {course(task)}.{cut}",
        f"The default and the best {several(protocol['finalists'], 'other configuration')} advanced to "
        f"{several(protocol['finalist_seeds'], 'fresh seed')}; of these the best on validation is compared with the "
        "default on the test set, seed by seed: what a search finds best looks better than it is.",
        f"Equivalent: surely nearer than {found.unit.gap(found.margin).lstrip('+')}"
        f"{' points' if found.unit.percent else ''}.",
    ]
    pruned = Counter(trial.phase for trial in found.trials if trial.phase.startswith("rung "))
    if protocol["pruner"] and len(protocol["rungs"]) > 1:
        rungs = ", ".join(
            f"{several(amount, 'run')} of {course(task, int(phase[5:]))}" for phase, amount in sorted(pruned.items())
        )
        notes.append(
            f"Pruned by {protocol['pruner']}: {rungs}; about a third of each rung advanced, the default always, "
            f"{_went_on(task)}. What was given up early might have ended well."
        )
    if gone := [trial for trial in found.trials if trial.phase == "pruned"]:
        notes.append(
            f"Given up by {protocol['pruner']} while they trained: {several(len(gone), 'run')}, measured by the "
            "reports of runs before them. They are neither failures nor evidence; some might have ended well."
        )
    if protocol["from_optuna"]:
        known = several(len(protocol["known"]), "trial")
        notes.append(f"{known} of {protocol['from_optuna']} told the sampler where to look; they are no evidence here.")
    if "from_study" in protocol:
        known = several(len(protocol["earlier"]), "run")
        notes.append(f"{known} of {protocol['from_study']} told the sampler where to look; they are no evidence here.")
    if "batch_size" in found.hyperparameters:
        notes.append("Batch sizes were tuned at equal epochs: a smaller batch takes more steps.")
    if shares := found.importance:
        named = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        notes.append(f"Importance, the share of the variance over the search by fANOVA: {named}.")
    edge = [name for name in found.hyperparameters if _on_edge(found, name)]
    if edge:
        notes.append(f"Not fully tuned, near the edge of its range: {', '.join(edge)}.")
    return [*notes, data_note(task), f"Not tested: {beyond(task)}, schedules."]


def _went_on(task: Mapping[str, Any]) -> str:
    return "from its own checkpoint" if "loop" in task else "and trained from the start again"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _range(name: str, hyperparameter: Mapping[str, Any]) -> str:
    if options := hyperparameter.get("options"):
        return f"{name} {' | '.join(map(str, options))}"
    low, high = (
        (1 - hyperparameter["high"], 1 - hyperparameter["low"])
        if hyperparameter["complement"]
        else (hyperparameter["low"], hyperparameter["high"])
    )
    return f"{name} {low:.4g} to {high:.4g}{' (on a plain scale)' if hyperparameter.get('linear') else ''}"


def _on_edge(found: Tuning, name: str) -> bool:
    """Whether the tuned value is within a twentieth of its range of an end."""
    hyperparameter = found.hyperparameters[name]
    value = found.values(found.tuned).get(name, math.nan)
    low, high = hyperparameter["low"], hyperparameter["high"]
    if hyperparameter.get("options"):
        return False
    if hyperparameter.get("linear"):
        return not 0.05 <= (value - low) / (high - low) <= 0.95 and not math.isnan(value)
    value = 1 - value if hyperparameter["complement"] else value
    share = math.log(value / low) / math.log(high / low) if value > 0 else math.nan
    return share < 0.05 or share > 0.95
