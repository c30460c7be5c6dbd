"""TensorBoard event files: a run a trial, its curves by step, its settings as hyperparameters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.arguments import need
from thalweg.lab.exports.run import config_of, finals_of, name_of, scalars_of

if TYPE_CHECKING:
    from thalweg.lab.results import Result


def write(result: Result, folder: Path) -> Path:
    """Write the event files, to be seen with `tensorboard --logdir FOLDER`. Runs that are there are left alone."""
    need("tensorboard", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    for trial in result.trials:
        run = folder / name_of(trial)
        if run.exists():
            continue
        unfinished = folder / f".{name_of(trial)}"  # a kill midway leaves no half run behind
        writer: Any = SummaryWriter(str(unfinished))
        for tag, candidates in scalars_of(trial, result.spec["task"]["metric"]).items():
            for step, value in candidates:
                writer.add_scalar(tag, value, step, walltime=trial.started)
        known = {name: value for name, value in finals_of(trial).items() if math.isfinite(value)}
        for summary in hparams(config_of(trial), known):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)
        for name, value in known.items():
            writer.add_scalar(name, value, trial.steps, walltime=trial.started)
        writer.close()
        unfinished.rename(run)
    return folder
