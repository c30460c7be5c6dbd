"""Export: a study for another tool, made from its folder, while it runs or long after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.results import Answer, read, read_answer
from thalweg.lab.study.store import write_atomically
from thalweg.lab.verbs.options import Folder
from thalweg.lab.verbs.verb import Option, verb
from thalweg.lookup import must_be

TABLES = {"csv": "table.csv", "latex": "table.tex"}
FORMATS = ("tensorboard", "wandb", "optuna", *TABLES)


@verb
def export(
    folder: Folder,
    to: Annotated[
        str,
        Option(
            "tensorboard (event files), wandb (offline runs), optuna (a study in a storage), csv or latex (the table)."
        ),
    ],
    out: Annotated[
        str | Path | None,
        Option("The folder to write to; for Optuna the storage, for a table the file.", unset="in the study's folder"),
    ] = None,
) -> Any:
    """Write a study's trials for another tool. Rerun it after more trials to add those.

    Returns:
        The folder; for Optuna its study.

    Raises:
        StudyError: for a folder that is not a study's.
        LabError: for an unknown format, or one whose package is not installed, or a folder that cannot be written.
    """
    if to not in FORMATS:
        raise LabError(f"to: got {to!r}{must_be(to, FORMATS)}")
    folder = Path(folder)
    if to in TABLES:
        return _table(read_answer(folder), to, Path(out) if out is not None else folder / TABLES[to])
    result = read(folder)
    if to == "optuna":
        from thalweg.lab.exports import optuna

        return optuna.write(result, str(out) if out is not None else f"sqlite:///{folder / 'optuna.db'}")
    target = Path(out) if out is not None else folder / to
    try:
        if to == "tensorboard":
            from thalweg.lab.exports import tensorboard

            return tensorboard.write(result, target)
        from thalweg.lab.exports import wandb

        return wandb.write(result, target)
    except OSError as error:
        raise StudyError(f"out: cannot write to {target}: {error.strerror}") from None


def _table(answer: Answer, to: str, target: Path) -> Path:
    """The table for a paper: of one study, or the joint one of several."""
    write_atomically(target, answer.to_csv if to == "csv" else lambda: answer.to_latex() + "\n")
    return target
