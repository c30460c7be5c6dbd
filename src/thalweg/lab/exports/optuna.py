"""Optuna: a study's trials to a storage of its, and a storage's trials as points a sampler may know."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from thalweg.lab.arguments import need
from thalweg.lab.errors import LabError, first_line
from thalweg.lab.passwords import remember
from thalweg.lab.search.hyperparameters import numbers

if TYPE_CHECKING:
    from thalweg.lab.results import Result
    from thalweg.lab.training.trial import Trial


def try_storage(storage: Any) -> None:
    """Open a storage, and have it hold a study for a moment: what cannot be written shows now.

    Raises:
        LabError: saying why.
    """
    optuna = need("optuna", "lab")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _said("to_optuna", storage):
        name = f"thalweg-tries-{uuid4().hex}"
        optuna.create_study(storage=storage, study_name=name)
        optuna.delete_study(storage=storage, study_name=name)


@contextmanager
def _said(argument: str, where: Any) -> Iterator[None]:
    """Whatever a storage raises, of its own kind (SQLAlchemy's, Redis's, Optuna's), in a line."""
    remember(where)
    try:
        yield
    except Exception as error:
        raise LabError(f"{argument}: {where}: {type(error).__name__}: {first_line(error)}") from None


def write(result: Result, storage: Any, name: str | None = None) -> Any:
    """Add every run of a study to an Optuna study, and return that.

    Parameters are the settings, a number each (betas as beta1, beta2); the value is the validation metric at the end;
    optimizer, seed, phase, id, steps, seconds and the test metric are user attributes; the curve is the intermediate
    values, by step. What failed is in the state FAIL; a climb of a range test, which ends where it diverges, is PRUNED.
    A trial that is there already is not added again.

    Args:
        storage: what Optuna takes: "sqlite:///x.db", a storage object, or None for one in memory.
        name: the Optuna study's; the folder's name if None.
    """
    optuna = need("optuna", "lab")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    title = name or result.folder.resolve().name
    with _said("to_optuna", storage):
        study = optuna.create_study(
            storage=storage,
            study_name=title,
            direction="maximize" if result.larger_is_better else "minimize",
            load_if_exists=True,
        )
    if (study.direction == optuna.study.StudyDirection.MAXIMIZE) != result.larger_is_better:
        raise LabError(f"to_optuna: the study {title!r} is there, with the other direction; choose another storage")
    there = {trial.user_attrs.get("id") for trial in study.trials}
    ranges = _ranges(result)
    states = optuna.trial.TrialState
    for trial in result.trials:
        if trial.id in there:
            continue
        values = numbers(trial.settings, trial.batch_size)
        attributes = {
            name: getattr(trial, name)
            for name in ("id", "optimizer", "seed", "phase", "index", "status", "message", "steps", "seconds")
        }
        attributes |= {name: value for name, value in trial.settings.items() if isinstance(value, str)}
        curve = zip(trial.curve.steps, trial.curve.validation_metric, strict=True)
        study.add_trial(
            optuna.trial.create_trial(
                state=_state(states, trial),
                params=values,
                distributions={
                    name: optuna.distributions.FloatDistribution(*ranges[name], log=ranges[name][0] > 0)
                    for name in values
                },
                value=trial.metric if _state(states, trial) == states.COMPLETE else None,
                user_attrs={**attributes, "test_metric": trial.test_metric},
                intermediate_values={step: value for step, value in curve if math.isfinite(value)},
            )
        )
    return study


def _state(states: Any, trial: Trial) -> Any:
    if not trial.done:
        return states.FAIL
    return states.COMPLETE if math.isfinite(trial.metric) else states.PRUNED


def read(where: str, hyperparameters: Sequence[str], larger_is_better: bool) -> list[dict[str, Any]]:
    """The finished trials of an Optuna study as known configurations: their values, and a score, less is better.

    Args:
        where: the storage and the study's name after the last colon: "sqlite:///x.db:study".

    Raises:
        LabError: for a storage or a study that cannot be read, the other direction, or hyperparameters not in it.
    """
    optuna = need("optuna", "lab")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage, colon, name = where.rpartition(":")
    if not colon or not storage or name.startswith("//"):
        raise LabError(f"from_optuna: got {where!r}; must be a storage and a study, such as sqlite:///x.db:study")
    with _said("from_optuna", where):
        study = optuna.load_study(study_name=name, storage=storage)
    if len(study.directions) > 1:
        raise LabError(f"from_optuna: {where} has {len(study.directions)} objectives; must have one")
    if (study.direction == optuna.study.StudyDirection.MAXIMIZE) != larger_is_better:
        right, wrong = ("maximize", "minimize") if larger_is_better else ("minimize", "maximize")
        raise LabError(f"from_optuna: {where} is to {wrong}; must be to {right}, as the task's metric is")
    ended = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    shared = [trial for trial in ended if set(trial.params) & set(hyperparameters)]
    if ended and not shared:
        has = ", ".join(sorted({name for trial in ended for name in trial.params})) or "none"
        raise LabError(f"from_optuna: {where} has the parameters {has}; must have one of {', '.join(hyperparameters)}")
    return [
        {
            "values": {
                hyperparameter: float(trial.params[hyperparameter])
                for hyperparameter in hyperparameters
                if hyperparameter in trial.params
            },
            "score": -float(trial.value) if larger_is_better else float(trial.value),
        }
        for trial in shared
    ]


def _ranges(result: Result) -> dict[str, tuple[float, float]]:
    """For each parameter the range of what was tried: Optuna wants to know one."""
    every: dict[str, list[float]] = {}
    for trial in result.trials:
        for name, value in numbers(trial.settings, trial.batch_size).items():
            every.setdefault(name, []).append(value)
    return {name: (min(values), max(values)) for name, values in every.items()}
