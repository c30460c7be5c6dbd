"""Where a study stands, from its folder alone: whatever runs it, wherever, nothing in the folder is touched."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from thalweg.lab.arguments import length, several
from thalweg.lab.judging.failures import commonest
from thalweg.lab.judging.wording import Unit
from thalweg.lab.own_loop.attempt import ENDED
from thalweg.lab.own_loop.broken_off import broken_off
from thalweg.lab.own_loop.reports import REPORTS, read_lines
from thalweg.lab.printable import aligned, visible
from thalweg.lab.search.configurations import Candidate, candidates_of, ranked
from thalweg.lab.study.campaign import RUNS
from thalweg.lab.study.command import if_a_run_ended_it, to_resume
from thalweg.lab.study.records import read_spec, read_trials, read_versions, to_json
from thalweg.lab.study.store import write_atomically
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Status as End
from thalweg.lab.training.trial import Trial

LATELY = 600.0  # seconds since a run's last report in which it counts as under way


@dataclass(frozen=True)
class UnderWay:
    """A run of a loop of one's own that has reported and not ended."""

    folder: str
    step: int
    value: float
    ago: float  # seconds since it was heard of


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    Attributes:
        folder, verb, task: which it is.
        at_work: whether a process is working on it now, on this machine or another that shares the folder's locks.
        trials: those that have ended.
        planned: how many there will be, as far as was known; None where that was not written down.
        running: runs that have reported something and not ended; only of loops of one's own.
        seconds_left: by what a run took so far, and no more than the budget leaves; None where that cannot be told.
    """

    folder: Path
    spec: Spec
    trials: tuple[Trial, ...]
    at_work: bool
    planned: int | None
    running: tuple[UnderWay, ...]
    seconds_left: float | None

    @property
    def verb(self) -> str:
        return str(self.spec["verb"])

    @property
    def task(self) -> str:
        return str(self.spec["task"]["name"])

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """A row an optimizer: how many runs ended and how, the best configuration so far."""
        unit = Unit.of(self.spec["task"])
        headings = ["optimizer", "done", "failed", "interrupted", "given up", "fresh seeds", f"best {unit.name}", "at"]
        return headings, [self._row(name, unit) for name in self.spec["optimizers"]]

    def _row(self, name: str, unit: Unit) -> list[str]:
        mine = [trial for trial in self.trials if trial.optimizer == name]
        best = self._best(mine)
        at = ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                       for key, value in best.settings.items()) if best else ""  # fmt: skip
        counts = (
            sum(trial.done for trial in mine),
            sum(trial.failed for trial in mine),
            sum(trial.status is End.INTERRUPTED for trial in mine),
            sum(trial.phase == "pruned" or trial.phase.startswith("rung ") for trial in mine),
            sum(trial.phase == "final" and trial.done for trial in mine),
        )
        return [name, *map(str, counts), unit.value(best.metric) if best else "none", at]

    def _best(self, trials: Sequence[Trial]) -> Candidate | None:
        searched = candidates_of(trial for trial in trials if trial.phase == "search")
        order = ranked(searched, bool(self.spec["task"]["larger_is_better"]))
        return order[0] if order and not math.isnan(order[0].metric) else None

    @property
    def sentence(self) -> str:
        """How far it is, in a line."""
        state = "at work" if self.at_work else "at its end" if self.over else "nobody is working on it"
        left = f", about {length(self.seconds_left)} left" if self.seconds_left and self.at_work else ""
        return f"{self.verb} on {self.task}: {self.far} have ended{left}; {state}."

    @property
    def far(self) -> str:
        """How many runs have ended, of how many."""
        ended = len(self.trials)
        if self.planned and self.planned >= ended:
            return f"{ended} of about {several(self.planned, 'run')}"
        return several(ended, "run")

    @property
    def over(self) -> bool:
        """Whether all runs have ended."""
        return self.planned is not None and len(self.trials) >= self.planned

    def to_dict(self) -> dict[str, Any]:
        """All of it for a machine: numbers where they are numbers, None where nobody knows."""
        ended = Counter(str(trial.status) for trial in self.trials)
        return {
            "verb": self.verb,
            "task": self.task,
            "folder": str(self.folder),
            "at_work": self.at_work,
            "over": self.over,
            "ended": len(self.trials),
            "planned": self.planned,
            "seconds_left": self.seconds_left,
            "runs": dict(ended),
            "optimizers": {name: self._numbers(name) for name in self.spec["optimizers"]},
            "resume": "" if self.at_work or self.over else to_resume(self.folder),
        }

    def _numbers(self, name: str) -> dict[str, Any]:
        mine = [trial for trial in self.trials if trial.optimizer == name]
        best = self._best(mine)
        return {
            "done": sum(trial.done for trial in mine),
            "failed": sum(trial.failed for trial in mine),
            "fresh_seeds": sum(trial.phase == "final" and trial.done for trial in mine),
            "best": to_json(best.metric) if best else None,
            "at": to_json(best.settings) if best else None,
        }

    def report(self, path: str | Path | None = None) -> Path:
        """Write it as one HTML file with every run so far; `status.html` in the study's folder if None."""
        from thalweg.lab.report import answer, trials
        from thalweg.lab.report.page import Page

        parts = [block(*self.cells())]
        versions = read_versions(self.folder)
        known = [answer.price(self.trials, versions)]
        page = Page(
            title=f"{self.task}: {self.verb} under way",
            about=f"{self.verb} on {self.task}, as far as it has come",
            screens=[
                answer.screen(self.sentence, "", known, parts, ["Not an answer yet: no fresh seed has decided."]),
                trials.screen(self.trials, Unit.of(self.spec["task"]), self.spec, versions),
            ],
        )
        target = Path(path) if path is not None else self.folder / "status.html"
        write_atomically(target, page.html)
        return target

    def __str__(self) -> str:
        lines = aligned(*self.cells())
        now = [f"under way: {one.folder} at step {one.step}, {one.value:.4g}, {length(max(0.1, one.ago))} ago"
               for one in self.running]  # fmt: skip
        failed = [f"{number} x {reason}" for reason, number in commonest(self.trials, 3)]
        resume = [] if self.at_work or self.over else [first_upper(to_resume(self.folder))]
        run = broken_off(self.folder / RUNS, {trial.id for trial in self.trials}) if resume else ""
        isolate = [first_upper(if_a_run_ended_it(self.folder, run))] if run else []
        return visible("\n".join([*lines, "", self.sentence, *now, *failed, *resume, *isolate]))


def block(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table on a page."""
    from thalweg.lab.report.markup import table

    cells = [[escape(cell) for cell in row] for row in rows]
    return f'<div class="block">{table([escape(text) for text in headings], cells)}</div>'


def first_upper(text: str) -> str:
    """A sentence of words that may hold a command."""
    return text[:1].upper() + text[1:]


def read_status(folder: str | Path) -> StudyStatus:
    """Where a study stands, while it runs, wherever, or afterwards.

    Args:
        folder: the study's.

    Raises:
        StudyError: for a folder that is not a study.
    """
    folder = Path(folder)
    spec, versions = read_spec(folder), read_versions(folder)
    trials = tuple(read_trials(folder / "trials.jsonl").values())
    planned = versions.get("planned")
    workers = max(1, int((versions.get("runner") or {}).get("workers", 1)))
    left = None
    if planned is not None and trials:
        pace = sum(trial.seconds for trial in trials) / len(trials) / workers
        left = max(0.0, pace * (planned - len(trials)))
    working = at_work(folder)
    ends_by = versions.get("ends_by")
    if working and left is not None and ends_by is not None:
        left = min(left, max(0.0, ends_by - time.time()))
    return StudyStatus(folder, spec, trials, working, planned, _running(folder) if working else (), left)


def at_work(folder: Path) -> bool:
    """Whether a process holds the folder's lock."""
    if not (folder / "lock").exists():
        return False
    try:
        with FileLock(folder / "lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


def _running(folder: Path) -> tuple[UnderWay, ...]:
    """Runs that reported a while ago and have not ended."""
    found = []
    for path in sorted((folder / RUNS).glob(f"*/{REPORTS}")):
        ago = time.time() - path.stat().st_mtime
        lines = read_lines(path)
        if lines and ago < LATELY and not (path.parent / ENDED).exists():
            found.append(UnderWay(path.parent.name, *lines[-1], ago))
    return tuple(found)
