"""The shape of the result of one study: an answer with its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.arguments import several
from thalweg.lab.judging.nothing_learned import HOW, UNCLEAR, UNKNOWN, Baseline, alike_at_0, untrained
from thalweg.lab.judging.wording import Unit, listed
from thalweg.lab.results.answer import Answer
from thalweg.lab.runners.choice import choice_notes
from thalweg.lab.search.configurations import Candidate, candidates_of
from thalweg.lab.study.optimizers import paste
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial

if TYPE_CHECKING:
    from thalweg.play.landscape import Landscape

ACCURACY_MARGIN = 0.005


class Result(Answer):
    """What a verb found. Everything here comes from the study's folder: it can be made again from that alone.

    A page needs no more than this: `verb`, `spec` (what was asked), `versions` (with what), `trials` (every one, failed
    ones too), `candidates` (the search's configurations by optimizer), `unit` (how the metric is written), and `rows`,
    whose fields are the kind's own, beside what every answer has.
    """

    def __init__(
        self,
        folder: Path,
        spec: Spec,
        versions: Mapping[str, Any],
        trials: Sequence[Trial],
        notes: Sequence[str] = (),
    ) -> None:
        self.folder, self.spec, self.versions, self.trials = folder, spec, versions, tuple(trials)
        self.cut: list[str] = versions.get("cut", [])
        said = [f"The budget ended the study: {'; '.join(self.cut)}."] if self.cut else []
        self.notes = [*said, *notes, *choice_notes(versions)]
        self.unit = Unit.of(spec["task"])
        self.larger_is_better = bool(spec["task"]["larger_is_better"])

    def left_out(self, planned: str = "trials", what: str = "configurations planned") -> list[str]:
        """What the budget left out: at its end, or before, where all that it left was run."""
        wanted, count = self.versions.get("wanted") or 0, self.spec["protocol"][planned]
        few = f"{count} of the {wanted} {what} were tried, as the budget allowed"
        return self.cut or ([few] if wanted > count else [])

    def baselines(self, part: str, trials: Sequence[Trial]) -> dict[str, float | list[float]]:
        """What is reached without learning, for these runs: by the untrained model a value a run, where a loop of the
        user's own tells it."""
        known: dict[str, float | list[float]] = dict((self.versions.get("baselines") or {}).get(part, {}))
        if self._starts and all(trial.seed in self._starts for trial in trials):
            known["untrained"] = [self._starts[trial.seed] for trial in trials]
        return known

    @cached_property
    def _starts(self) -> dict[int, float]:
        """By seed what the untrained model reaches, looked for once: all runs of a study are asked."""
        return untrained(self.trials, self.larger_is_better)

    def ends(
        self, part: str, of: Iterable[Sequence[Trial]]
    ) -> list[tuple[list[float], dict[str, float | list[float]]]]:
        """The values of configurations on the test or validation rows, each with the baselines of its runs."""
        found = []
        for trials in of:
            pairs = [(each, each.test_metric if part == "test" else each.metric) for each in trials]
            ended = [(each, value) for each, value in pairs if value is not None and (part == "test" or each.done)]
            found.append(([float(value) for _, value in ended], self.baselines(part, [each for each, _ in ended])))
        return found

    def margin_beside(self, mean: float) -> float:
        """What counts as equal beside a value: the task's margin, or the usual one."""
        given = self.spec["task"]["margin"]
        if given is not None:
            return float(given)
        return ACCURACY_MARGIN if self.unit.percent else 0.01 * abs(mean)

    def unlearned_line(self, optimizer: str, base: Baseline) -> str:
        """What to paste where nothing is shown to be learned: the default where that is undecided, else nothing."""
        default = self.candidates[optimizer][0]
        return paste(self.spec, optimizer, default.settings, default.trials[0].batch_size) if base.ahead else ""

    def untested(self, known: Mapping[str, Any]) -> list[str]:
        """That nobody can tell whether anything was learned, where a loop of the user's own has no baseline."""
        if known or "loop" not in self.spec["task"]:
            return []
        self.notes.append(HOW)
        return [UNCLEAR if alike_at_0(self.trials) else UNKNOWN]

    @classmethod
    def lacking(cls, spec: Spec, trials: Sequence[Trial], cut: bool = False) -> str:
        """What a study needs before it has an answer, in words; empty where it has all. `cut`: its deadline came
        before its end, and what there is has to do."""
        bare = [name for name in spec["optimizers"] if not any(t.optimizer == name for t in trials)]
        return f"no run of {listed(bare)} has ended" if bare else ""

    @staticmethod
    def unsearched(trials: Sequence[Trial]) -> str:
        """Which finalists were never searched for: lines of the folder are gone."""
        candidates = {(trial.optimizer, trial.index) for trial in trials if trial.phase == "search"}
        bare = {
            (t.optimizer, t.index): None
            for t in trials
            if t.phase == "final" and (t.optimizer, t.index) not in candidates
        }
        return ", ".join(f"the search of {name}, configuration {index}" for name, index in bare)

    @staticmethod
    def seeds_missing(spec: Spec, trials: Sequence[Trial]) -> str:
        """Which finalists lack fresh seeds: paired differences need all of them."""
        wanted = spec["protocol"]["finalist_seeds"]
        seeds = Counter((trial.optimizer, trial.index) for trial in trials if trial.phase == "final")
        short = {name: wanted - number for (name, _), number in seeds.items() if number < wanted}
        return ", ".join(f"{several(number, 'fresh seed')} of {name}" for name, number in short.items())

    @cached_property
    def candidates(self) -> dict[str, list[Candidate]]:
        """The configurations of the search, by optimizer."""
        searched = [trial for trial in self.trials if trial.phase == "search"]
        return {name: candidates_of(t for t in searched if t.optimizer == name) for name in self.spec["optimizers"]}

    def shown(self) -> list[tuple[str, Trial]]:
        """The runs that a recording keeps, the best first, with their names: of one seed where all have one that ended
        well, so that they begin at the same weights."""
        groups = {name: [trial for trial in trials if trial.done] for name, trials in self._shown().items()}
        ended = {name: trials for name, trials in groups.items() if trials}
        common = set.intersection(*({t.seed for t in trials} for trials in ended.values())) if ended else set()
        seed = min(common, default=None)
        return [(name, next((t for t in trials if t.seed == seed), trials[0])) for name, trials in ended.items()]

    def _shown(self) -> dict[str, Sequence[Trial]]:
        """By name the trials of which one can be shown, the best first."""
        return {}

    def landscape(self) -> Landscape:
        """The loss around the recorded runs, for a study that was made, or run again, with `record=True`. No code of
        the task runs. In a notebook it is a picture.

        Raises:
            StudyError: for a study without a recording.
        """
        from thalweg.lab.recording.read import read

        return read(self.folder)

    @property
    def seconds(self) -> float:
        """What the study cost, added up over its trials."""
        return sum(trial.seconds for trial in self.trials)

    def to_optuna(self, storage: Any = None, name: str | None = None) -> Any:
        """Add all trials to an Optuna study of this storage ("sqlite:///x.db"; in memory if None), and return it."""
        from thalweg.lab.exports.optuna import write

        return write(self, storage, name)
