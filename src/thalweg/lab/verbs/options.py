"""What several verbs are asked, each in a line. What one verb alone is asked stands in its own signature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from thalweg.lab.study.campaign import Progress
from thalweg.lab.verbs.verb import Option

BOTH = ("--optimizers", "--optimizer")

TheTask = Annotated[
    Any,
    Option(
        "A built-in task (digits), my_task.py:task or package.module:task; or your own loop, train.py:train.",
        argument=True,
        unset="a command",
        python="a `Task`, or a function `train(run)` that takes a `thalweg.Run`",
    ),
]
TheTasks = Annotated[
    Any,
    Option(
        "A built-in task (digits), my_task.py:task or package.module:task; several with commas get one joint verdict. "
        "Or a training loop of your own, train.py:train.",
        argument=True,
        unset="a command",
        python="a `Task`, a list of tasks, or a function `train(run)` that takes a `thalweg.Run`",
    ),
]
Command = Annotated[
    str | None,
    Option(
        "Instead of a task, a command that trains: 'python train.py --lr {lr} --seed {seed}'. {optimizer} and {folder} "
        "are filled too, and what is declared.",
        unset="a task",
    ),
]
Direction = Annotated[
    str | None,
    Option("min or max: which way the value of a training loop of your own is better.", unset="a task's own"),
]
Metric = Annotated[str | None, Option("What that value is called.", unset="loss or score")]
Read = Annotated[
    str | None,
    Option(
        r"A regular expression that finds it in a command's output: 'val loss (\S+)'.",
        unset="a line of JSON that has it",
    ),
]
MetricFile = Annotated[
    str | None,
    Option("A .jsonl or .csv file in the run's {folder} to read it from, or tensorboard.", unset="the output"),
]
Baseline = Annotated[
    float | None,
    Option(
        "What a training loop of your own reaches without learning: where nobody beats it, the answer says so.",
        unset="what its runs report at step 0, before they train",
    ),
]
LastStep = Annotated[
    int | None,
    Option("The last step that a run of your own loop reports; asha and hyperband need it.", unset="not known"),
]
Retries = Annotated[
    int, Option("How often a run that was interrupted from outside (a full disk, a lost connection) is tried again.")
]
Gpus = Annotated[int | None, Option("How many GPUs the study may use.", unset="all that are visible")]
GpusPerRun = Annotated[
    float | None,
    Option("GPUs that a run takes, each its own; a share such as 0.5 lets runs have one together.", unset="none"),
]
CpusPerRun = Annotated[int | None, Option("Cores, and torch threads, that a run takes.", unset="what the runner gives")]
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
        "How long the study may take, such as 90s, 10m or 1h30m: as much is tried as fits, equally for all.",
        unset="no limit",
        python="seconds",
    ),
]
PASSES = "Passes over the data; of a task that counts its steps, how often it is evaluated."
Epochs = Annotated[int | None, Option(PASSES, unset="the task's own")]
FewEpochs = Annotated[int | None, Option(PASSES, unset="the task's own, at most 10")]
TimeLimit = Annotated[
    str | float | None,
    Option(
        'How long one run may take, such as 10m: then it is "timed out", and has failed.',
        unset="no limit",
        python="seconds",
    ),
]
Where = Annotated[
    str,
    Option(
        "Where to train: auto, alone, lanes, processes, ray, ray:ADDRESS, slurm, slurm:PARTITION or slurm:local.",
    ),
]
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
