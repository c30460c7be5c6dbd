"""A study of which no run ended well: why, as it is told under the verdict, and where to read more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from thalweg.lab.judging.failures import commonest, reason_of
from thalweg.lab.own_loop.run import CONFIGURATION
from thalweg.lab.results.result import Result
from thalweg.lab.study.campaign import RUNS
from thalweg.lab.study.printed import LOG
from thalweg.lab.training.trial import Trial


def all_failed(result: Result) -> list[str]:
    """The commonest reason with its count, and the log of a run that has it; empty where a run ended well."""
    if any(trial.done for trial in result.trials) or not result.trials:
        return []
    return why(result.folder, result.trials)


def why(folder: Path, trials: Sequence[Trial]) -> list[str]:
    """The commonest reason of those that failed, and a log."""
    for reason, count in commonest(trials, 1):
        one = next(trial for trial in trials if reason_of(trial) == reason)
        log = _log(folder, one)
        return [f"{count} x {reason}", *([f"log: {log}"] if log else [])]
    return []


def _log(folder: Path, trial: Trial) -> Path | None:
    """Where a run's output is: in its own folder, or the study's."""
    wanted = _as_written([trial.settings, trial.seed])
    for path in sorted((folder / RUNS).glob(f"*/{CONFIGURATION}")):
        run = json.loads(path.read_text(encoding="utf-8"))
        mine = _as_written([run["settings"], run["seed"]]) == wanted and run["optimizer"] in ("", trial.optimizer)
        if mine and (path.parent / LOG).exists():
            return path.parent / LOG
    return folder / LOG if (folder / LOG).exists() else None


def _as_written(values: Any) -> str:
    return json.dumps(values, default=repr, sort_keys=True)
