"""What several verbs are asked, each in a line. What one verb alone is asked stands in its own signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from thalweg.lab.study.campaign import Progress
from thalweg.lab.task.task import Task
from thalweg.lab.verbs.verb import Option

BOTH = ("--optimizers", "--optimizer")

TheTask = Annotated[
    Task | str,
    Option("A built-in task (digits), my_task.py:task or package.module:task.", argument=True, python="a `Task`"),
]
TheTasks = Annotated[
    Any,
    Option(
        "A built-in task (digits), my_task.py:task or package.module:task; several with commas get one joint verdict.",
        argument=True,
        python="a `Task`, and a list of tasks",
    ),
]
Optimizers = Annotated[
    Any,
    Option(
        "Names from `thalweg rules`, with commas, and settings where you like: adam(eps=1e-6); all for the catalogue.",
        names=BOTH,
        unset="the usual dozen",
        python="a list of names, of entries of the catalogue and of `torch.optim.Optimizer` classes",
    ),
]
TheOptimizer = Annotated[
    Any,
    Option(
        "A name from `thalweg rules`.",
        names=BOTH[::-1],
        python="an entry of the catalogue or a `torch.optim.Optimizer` class",
    ),
]
Budget = Annotated[
    str | float | None,
    Option(
        "How long the study may take, such as 90s, 10m or 1h: as much is tried as fits, equally for all.",
        unset="no limit",
        python="seconds",
    ),
]
Epochs = Annotated[int | None, Option("Passes over the data.", unset="the task's own")]
FewEpochs = Annotated[int | None, Option("Passes over the data.", unset="the task's own, at most 10")]
TimeLimit = Annotated[
    str | float | None,
    Option(
        'How long one run may take, such as 10m: then it is "timed out", and has failed.',
        unset="no limit",
        python="seconds",
    ),
]
Where = Annotated[str, Option("Where to train: auto, alone, lanes, processes, ray or ray:ADDRESS.")]
Out = Annotated[str | Path | None, Option("The study's folder.", unset="studies/ and what it is about")]
Record = Annotated[
    bool,
    Option(
        "Then train a run of each optimizer once more, with checkpoints, for `thalweg play STUDY` and "
        "`result.landscape()`. A study at its end can be recorded by the same command."
    ),
]
Tell = Annotated[
    Callable[[Progress], None] | None, Option("Called with where the study stands, after each run.", typed=False)
]
Folder = Annotated[str | Path, Option("The study's folder.", argument=True)]
