"""A trial as trackers of experiments see it: a run with a name, a configuration, curves by step, final values."""

from __future__ import annotations

from typing import Any

from thalweg.lab.arguments import file_name
from thalweg.lab.search.hyperparameters import numbers
from thalweg.lab.training.trial import Trial


def name_of(trial: Trial) -> str:
    """A name that sorts: optimizer, setting, phase, seed; the id makes it the only one."""
    rest = f"-{trial.index:03d}-{trial.phase}-seed{trial.seed}-{trial.id[:8]}"
    return file_name(trial.optimizer) + file_name(rest)


def config_of(trial: Trial) -> dict[str, Any]:
    """The settings, a number each, and what else identifies the trial."""
    return {
        "optimizer": trial.optimizer,
        **numbers(trial.settings, trial.batch_size),
        **{name: value for name, value in trial.settings.items() if isinstance(value, str)},
        "seed": trial.seed,
        "phase": trial.phase,
        "index": trial.index,
        "status": trial.status,
        "id": trial.id,
    }


def scalars_of(trial: Trial, metric: str) -> dict[str, list[tuple[int, float]]]:
    """The curves by step. A NaN stays one: where a run broke is what one wants to see."""
    curve = trial.curve
    columns = {"train/loss": curve.train_loss, "validation/loss": curve.validation_loss}
    if metric != "loss":
        columns[f"validation/{metric}"] = curve.validation_metric
    return {tag: list(zip(curve.steps, values, strict=True)) for tag, values in columns.items()}


def finals_of(trial: Trial) -> dict[str, float]:
    """What a trial ended at; NaN for one that failed, the test set for finalists alone."""
    result = {"final/validation_metric": trial.metric, "final/validation_loss": trial.loss}
    if trial.test_metric is not None:
        result["final/test_metric"] = trial.test_metric
    return result
