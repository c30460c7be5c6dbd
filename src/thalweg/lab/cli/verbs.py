"""The verbs on the command line: what they do is elsewhere; here it is asked for, and its result printed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from thalweg.lab.arguments import need
from thalweg.lab.cli.screen import console, progress_display, show_result
from thalweg.lab.errors import LabError
from thalweg.lab.exports.optuna import try_storage
from thalweg.lab.passwords import without_passwords
from thalweg.lab.printable import visible

if TYPE_CHECKING:
    from thalweg.lab.results import Result

TheTask = Annotated[str, typer.Argument(help="A built-in task (digits), my_task.py:task or package.module:task.")]
Optimizers = Annotated[str, typer.Option(help="Names from `thalweg rules`, with commas.", show_default="all")]
Named = Annotated[str, typer.Option("--optimizers", "--optimizer", help="Names from `thalweg rules`, with commas.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the data.", show_default="task")]
Budget = Annotated[
    str, typer.Option(help="How long it may take, such as 90s, 10m or 1h: less is tried.", show_default="none")
]
Limit = Annotated[
    str, typer.Option(help="How long one run may take, such as 10m: then it counts as failed.", show_default="none")
]
On = Annotated[str, typer.Option(help="Where to train: auto, alone, lanes, processes, ray or ray:ADDRESS.")]
Tensorboard = Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard event files to the folder too.")]
Wandb = Annotated[bool, typer.Option("--wandb", help="Write offline runs of Weights & Biases to the folder too.")]
Out = Annotated[Path | None, typer.Option(help="The study's folder.", show_default="studies/TASK-...")]

Record = Annotated[
    bool, typer.Option("--record", help="Then train a run of each optimizer once more, for `thalweg play STUDY`.")
]


def compare(
    task: TheTask,
    optimizers: Optimizers = "",
    preset: Annotated[str, typer.Option(help="quick, standard or thorough.")] = "quick",
    trials: Annotated[int | None, typer.Option(help="Settings tried of each optimizer.", show_default="preset")] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds for each in the search.", show_default="preset")] = None,
    finalists: Annotated[int | None, typer.Option(help="Settings of each that go on.", show_default="preset")] = None,
    finalist_seeds: Annotated[
        int | None,
        typer.Option(help="Fresh seeds for each finalist; more can be added later.", show_default="preset"),
    ] = None,
    hyperparameters: Annotated[
        str, typer.Option(help="lr, and any of beta1, beta2, eps, weight_decay.", show_default="preset")
    ] = "",
    budget: Budget = "",
    epochs: Epochs = None,
    time_limit: Limit = "",
    on: On = "auto",
    out: Out = None,
    record: Record = False,
    tensorboard: Tensorboard = False,
    wandb: Wandb = False,
) -> None:
    """Compare optimizers on a task under one fair protocol. The same command again resumes."""
    from thalweg.lab.verbs.compare import compare as run

    numbers: dict[str, Any] = {
        "trials": trials,
        "seeds": seeds,
        "finalists": finalists,
        "finalist_seeds": finalist_seeds,
        "hyperparameters": hyperparameters or None,
        "budget": budget or None,
        "epochs": epochs,
        "time_limit": time_limit or None,
    }
    _show(
        lambda progress: run(
            task,
            optimizers or None,
            preset,
            on=on,
            out=out,
            record=record,
            progress=progress,
            **numbers,
        ),
        tensorboard,
        wandb,
    )


def sweep(
    task: TheTask,
    optimizers: Named,
    lr: Annotated[str, typer.Option(help="The range of learning rates.")] = "1e-5,1e-1",
    points: Annotated[int, typer.Option(help="How many, evenly on a logarithmic scale.")] = 13,
    closer: Annotated[int, typer.Option(help="How often to look half way from the best to its neighbours.")] = 3,
    seeds: Annotated[int, typer.Option(help="Seeds for each; more can be added later.")] = 3,
    budget: Budget = "",
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.", show_default="task, at most 10")] = None,
    extend: Annotated[bool, typer.Option(help="Go on past the range while the best rate is at its edge.")] = True,
    time_limit: Limit = "",
    on: On = "auto",
    out: Out = None,
    record: Record = False,
    tensorboard: Tensorboard = False,
    wandb: Wandb = False,
) -> None:
    """Train with learning rates all over a range: where is the best, which are as good, where does it break?"""
    from thalweg.lab.verbs.sweep import sweep as run

    numbers: dict[str, Any] = {"lr": lr, "points": points, "closer": closer, "seeds": seeds, "epochs": epochs}
    numbers |= {"extend": extend, "budget": budget or None, "time_limit": time_limit or None}
    _show(
        lambda progress: run(task, optimizers, on=on, out=out, record=record, progress=progress, **numbers),
        tensorboard,
        wandb,
    )


def range_test(
    task: TheTask,
    optimizer: Annotated[str, typer.Option("--optimizer", "--optimizers", help="A name from `thalweg rules`.")],
    low: Annotated[float, typer.Option(help="Where the learning rate begins.")] = 1e-7,
    high: Annotated[float, typer.Option(help="Where it ends, unless the loss blows up before.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Steps of one climb.")] = 200,
    seeds: Annotated[int, typer.Option(help="Climbs, and seeds of the sweep that verifies them.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="Of that sweep.", show_default="task, at most 10")] = None,
    time_limit: Limit = "",
    on: On = "auto",
    out: Out = None,
    tensorboard: Tensorboard = False,
    wandb: Wandb = False,
) -> None:
    """Let the learning rate climb within one training: where does the loss fall, where does it turn up?"""
    from thalweg.lab.verbs.range_test import range_test as run

    numbers: dict[str, Any] = {"low": low, "high": high, "steps": steps, "seeds": seeds, "epochs": epochs}
    numbers["time_limit"] = time_limit or None
    _show(
        lambda progress: run(task, optimizer, on=on, out=out, progress=progress, **numbers),
        tensorboard,
        wandb,
    )


def tune(
    task: TheTask,
    optimizer: Annotated[str, typer.Option("--optimizer", "--optimizers", help="A name from `thalweg rules`.")],
    method: Annotated[
        str, typer.Option(help="tpe, grid, random, sobol, halton, gp, cmaes, nsgaii, nsgaiii or qmc.")
    ] = "tpe",
    hyperparameters: Annotated[
        str, typer.Option(help="Such as lr,betas or lr=1e-4:1e-1,batch_size.", show_default="all but the batch size")
    ] = "",
    trials: Annotated[int, typer.Option(help="Settings to try, the default first; more can be added later.")] = 40,
    seeds: Annotated[int, typer.Option(help="Seeds for each in the search.")] = 1,
    batch: Annotated[int, typer.Option(help="Settings chosen at once, to train side by side.")] = 8,
    finalists: Annotated[int, typer.Option(help="Settings that go on, against the default.")] = 2,
    finalist_seeds: Annotated[int, typer.Option(help="Fresh seeds for each of these; more can be added later.")] = 5,
    pruner: Annotated[str, typer.Option(help="asha or hyperband.", show_default="none")] = "",
    from_optuna: Annotated[
        str, typer.Option(help="Known points for the sampler: sqlite:///x.db:study.", show_default="none")
    ] = "",
    to_optuna: Annotated[
        str, typer.Option(help="Add all trials to an Optuna storage: sqlite:///x.db.", show_default="none")
    ] = "",
    budget: Budget = "",
    epochs: Epochs = None,
    time_limit: Limit = "",
    on: On = "auto",
    out: Out = None,
    record: Record = False,
    tensorboard: Tensorboard = False,
    wandb: Wandb = False,
) -> None:
    """Tune an optimizer's hyperparameters, and tell whether that beats its defaults. The same command again resumes."""
    from thalweg.lab.verbs.tune import tune as run

    numbers: dict[str, Any] = {
        "trials": trials,
        "seeds": seeds,
        "batch": batch,
        "finalists": finalists,
        "finalist_seeds": finalist_seeds,
        "epochs": epochs,
    }
    words: dict[str, Any] = {
        "hyperparameters": hyperparameters,
        "pruner": pruner,
        "from_optuna": from_optuna,
        "budget": budget,
    }
    words["time_limit"] = time_limit
    words = {name: word for name, word in words.items() if word}

    def tuned(progress: Callable[..., None]) -> Result:
        if to_optuna:
            try_storage(to_optuna)  # before the hours, not after
        result = run(
            task,
            optimizer,
            method=method,
            on=on,
            out=out,
            record=record,
            progress=progress,
            **numbers,
            **words,
        )
        if to_optuna:
            result.to_optuna(to_optuna)
        return result

    _show(tuned, tensorboard, wandb)


def replay(
    folder: Annotated[Path, typer.Argument(help="The study's folder.")],
    trial: Annotated[str, typer.Argument(help="A trial's id, or how it begins: see the report or trials.jsonl.")],
    task: Annotated[
        str,
        typer.Option(help="Where the task is: its code runs, so a folder's word will not do.", show_default="study"),
    ] = "",
    optimizer: Annotated[
        str, typer.Option(help="Where the optimizer is, if it is not the catalogue's.", show_default="study")
    ] = "",
) -> None:
    """Train one trial of a study again, alone, and compare. Exit code 1 where it is not the same."""
    from thalweg.lab.verbs.replay import replay as run

    try:
        result = run(folder, trial, task=task or None, optimizer=optimizer or None)
    except LabError as error:
        refuse(error)
    print(visible(str(result)))
    raise typer.Exit(0 if result.same else 1)


def report(folder: Annotated[Path, typer.Argument(help="The study's folder.")]) -> None:
    """Make a study's table and report anew from its folder."""
    from thalweg.lab.verbs.replay import report as run

    try:
        result = run(folder)
    except LabError as error:
        refuse(error)
    show_result(result)


def export(
    folder: Annotated[Path, typer.Argument(help="The study's folder.")],
    to: Annotated[str, typer.Option(help="tensorboard, wandb (offline runs) or optuna.")],
    out: Annotated[
        str, typer.Option(help="Where to; for Optuna a storage.", show_default="in the study's folder")
    ] = "",
) -> None:
    """Write a study's trials for another tool; again, after more trials, adds those."""
    from thalweg.lab.verbs.export import export as run

    try:
        made = run(folder, to, out or None)
    except LabError as error:
        refuse(error)
    what = f"{made}" if isinstance(made, Path) else f"Optuna study {made.study_name!r}, {len(made.trials)} trials"
    print(visible(what))


def refuse(error: ValueError | OSError) -> NoReturn:
    """One line for what the user can mend, and exit code 2."""
    typer.echo(visible("thalweg: " + " ".join(str(error).split())), err=True)
    raise typer.Exit(2) from None


def stopped() -> NoReturn:
    """Ctrl-C: how to go on."""
    console.print("\nStopped. Nothing finished is lost; to go on:", highlight=False)
    print(without_passwords("  thalweg " + shlex.join(sys.argv[1:])))
    raise typer.Exit(130) from None


def _show(run: Callable[[Callable[..., None]], Result], tensorboard: bool, wandb: bool) -> None:
    """Run a verb with its progress shown, and the exports after it; Ctrl-C says how to go on."""
    formats = [name for name, wanted in (("tensorboard", tensorboard), ("wandb", wandb)) if wanted]
    try:
        for name in formats:
            need(name, name)  # before the hours, not after
        with progress_display() as progress:
            result = run(progress)
        if formats:
            from thalweg.lab.verbs.export import export as export_to
        for name in formats:
            export_to(result.folder, name)
    except LabError as error:
        refuse(error)
    except KeyboardInterrupt:
        stopped()
    show_result(result)
