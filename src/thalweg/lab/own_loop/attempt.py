"""One run of an own loop under way, whichever way it is made: its folder, its reports, how it ended."""

from __future__ import annotations

import json
import math
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from thalweg.lab.own_loop import checkpoint
from thalweg.lab.own_loop.reading import columns
from thalweg.lab.own_loop.reports import REPORTS, Reports, broken
from thalweg.lab.own_loop.run import CONFIGURATION, Ended
from thalweg.lab.task.own_loop import OwnLoop, script
from thalweg.lab.training.failure import failure
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Curve, Outcome, Status, Trial

LOG = "log.txt"  # what a command prints, and the traceback of a function
ENDED = "ended"  # an empty file in the folder of a run that has
PRUNED = "pruned"  # the phase of a run that was given up: it is no part of the search's evidence


class Attempt:
    """A job of an own loop, from its folder to its trial."""

    def __init__(self, loop: OwnLoop, job: Job) -> None:
        self.loop, self.job = loop, job
        self.folder = Path(job.folder or tempfile.mkdtemp(prefix="thalweg-run-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock, self.started = time.perf_counter(), time.time()
        self.reports = Reports(self.folder / REPORTS)
        content = {
            "optimizer": "" if job.entry.optimizer is script else job.entry.name,
            "settings": dict(job.setting.settings),
            "seed": job.setting.seed,
            "metric": loop.metric_name,
        }
        (self.folder / ENDED).unlink(missing_ok=True)
        path = self.folder / CONFIGURATION
        temporary = path.with_name(f".{CONFIGURATION}.{os.getpid()}")
        temporary.write_text(json.dumps(content, indent=2, default=repr) + "\n", encoding="utf-8")
        os.replace(temporary, path)

    def reached(self) -> bool:
        """Whether an earlier, shorter run has come as far as this one is to go: the next rung may ask for no more."""
        return self.job.until is not None and bool(self.reports.steps) and self.reports.steps[-1] >= self.job.until

    def see(self, step: int, value: float) -> None:
        """Take in a report.

        Raises:
            Ended: the run is over here.
        """
        self.reports.add(step, value)
        self.look(step)

    def look(self, step: int) -> None:
        """Whether the run is over after what was reported last.

        Raises:
            Ended: it is.
        """
        if broken(self.reports.values):
            raise Ended("broken")
        if self.job.until is not None and step >= self.job.until:
            raise Ended("rung")
        pruning = self.job.pruning
        if pruning is not None and pruning.over(self.reports.steps, self.reports.values):
            raise Ended(PRUNED)

    def finished(self, value: float | None, reason: str = "") -> Trial:
        """The trial of a run that ended by itself, or was ended with this reason.

        Args:
            value: what the loop gave at its end; None where the last report counts.
        """
        reports = self.reports
        if value is not None and not (reports.values and _same(reports.values[-1], value)):
            self.reports.add(reports.steps[-1] + 1 if reports.steps else 1, value)
        if not reports.values:
            return self._trial(Status.CRASHED, _silent(self.loop, self.folder), Outcome())
        last = reports.values[-1]
        if math.isnan(last):
            return self._trial(Status.NOT_A_NUMBER, f"{self.loop.metric_name} is nan at the end", Outcome())
        if math.isinf(last):
            return self._trial(Status.DIVERGED, f"{self.loop.metric_name} is {last} at the end", Outcome())
        final = self.job.phase == "final"
        trial = self._trial(Status.DONE, None, Outcome(None, last) if final else Outcome())
        if reason == PRUNED:
            return replace(trial, phase=PRUNED, message=f"given up after step {reports.steps[-1]}")
        if reason != "rung":
            (self.folder / checkpoint.CHECKPOINT).unlink(missing_ok=True)  # nobody goes on from it
        return trial

    def failed(self, error: BaseException, log: str = "") -> Trial:
        """The trial of a run that raised; `log`: where more is to be read."""
        status, message = failure(error)
        return self._trial(status, f"{message}\ntraceback: {log}" if log else message, Outcome())

    def log(self, text: str) -> str:
        """Write this to the run's log; its name, as seen from the study's folder."""
        path = self.folder / LOG
        try:
            with open(path, "a", encoding="utf-8", errors="replace") as file:
                file.write(text)
        except OSError:  # a full disk, perhaps, as which the run has failed
            return ""
        return str(Path(*path.parts[-3:]) if self.job.folder else path)

    def ended(self, status: Status, message: str) -> Trial:
        """The trial of a run with this end."""
        return self._trial(status, message, Outcome())

    def _trial(self, status: Status, message: str | None, outcome: Outcome) -> Trial:
        steps, values = list(self.reports.steps), list(self.reports.values)
        unknown = [math.nan] * len(values)
        losses = unknown if self.loop.larger_is_better else values
        curve = Curve(steps, unknown, list(losses), values)
        seconds = time.perf_counter() - self.clock
        (self.folder / ENDED).touch()
        return Trial.of(self.job, status, message, curve, outcome, seconds, self.started)


def _silent(loop: OwnLoop, folder: Path) -> str:
    """What is said of a run that ended well and told no value. A checkpoint that runs share lets all but one end at
    once."""
    said = f"{loop.metric_name}: was neither returned nor reported"
    if loop.command and not loop.read and not loop.file:
        said += f"; looked for as a line of JSON with {loop.metric_name!r}; --read takes it from any other output"
    if loop.file and not (folder / loop.file).exists() and loop.file != "tensorboard":
        said += f"; {loop.file} was not written"
    elif loop.file.endswith(".csv"):
        said += f"; {loop.file} has the columns {', '.join(columns(folder / loop.file)) or 'none'}"
    if loop.command and "folder" not in loop.placeholders:
        said += "; the command has no {folder}: where the script keeps a checkpoint, runs go on from each other's"
    return said


def _same(one: float, other: Any) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
