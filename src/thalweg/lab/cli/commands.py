"""The commands, the verbs and beside them rules, show, conform. What they do is elsewhere; here it is asked for."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Annotated

import typer

import thalweg
from thalweg.lab.cli.as_json import of_rule, of_rule_in_full, of_task, print_json
from thalweg.lab.cli.completion import rules as rules_of
from thalweg.lab.cli.completion import studies
from thalweg.lab.cli.completion import tasks as tasks_of
from thalweg.lab.cli.screen import law_progress, progress_display, show_laws, show_rule, show_rules, show_tasks
from thalweg.lab.cli.values import Commands
from thalweg.lab.cli.verbs import VERBS, command, refuse, refuse_empty, stopped
from thalweg.lab.printable import visible

app = typer.Typer(
    name="thalweg",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        print(f"thalweg {thalweg.__version__} (torch {version('torch')}, Python {python_version()})")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version and exit.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Which optimizer, and which learning rate, for your model and your data: with the evidence."""


for verb in VERBS:
    app.command()(command(verb))


AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.command()
def tasks(as_json: AsJson = False) -> None:
    """List the built-in tasks: their data, their metric, how long one run takes."""
    from thalweg.lab.task.builtin import LISTINGS

    print_json([of_task(one) for one in LISTINGS]) if as_json else show_tasks(LISTINGS)


@app.command()
def rules(as_json: AsJson = False) -> None:
    """List the catalogue: every optimizer that `compare` knows."""
    from thalweg.catalogue import CATALOGUE, COMBINED

    entries = [*CATALOGUE.values(), *COMBINED.values()]
    print_json([of_rule(entry) for entry in entries]) if as_json else show_rules(entries)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name from `thalweg rules`.", autocompletion=rules_of)],
    as_json: AsJson = False,
) -> None:
    """Show one rule: its equations, its hyperparameters, its paper, where it departs from it."""
    from thalweg.catalogue import Entry

    try:
        entry = Entry.of(name)
    except ValueError as error:
        refuse(error)
    print_json(of_rule_in_full(entry)) if as_json else show_rule(entry)


@app.command()
def play(
    what: Annotated[
        str,
        typer.Argument(
            help="Your model in it: the folder of a study made with --record, or a task to train now.",
            show_default="none",
            autocompletion=lambda incomplete: tasks_of(incomplete) + studies(incomplete),
        ),
    ] = "",
    optimizers: Annotated[
        str | None,
        typer.Option(
            "--optimizers",
            "--optimizer",
            help="What trains the task.",
            show_default="sgd,adam",
            autocompletion=rules_of,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the page there, and open nothing.", show_default=False)
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="A rule of your own, FILE:NAME or package.module:NAME; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Open the page in which the optimizers race: one file, in which the catalogue's own equations run."""
    from thalweg.lab.verbs.landscape import landscape_of
    from thalweg.play.command import write

    refuse_empty({"optimizers": optimizers})
    try:
        if optimizers and not what:
            raise ValueError("--optimizers: got no task to train; must be thalweg play TASK --optimizers ...")
        model = None
        if what:
            with progress_display() as progress:
                model = landscape_of(what, optimizers or "", progress).block()
        path = write(out, rule or [], model)
    except (ValueError, OSError) as error:
        refuse(error)
    except KeyboardInterrupt:
        stopped()
    if out is None:
        typer.launch(path.as_uri())
    print(path)


@app.command()
def lens(
    what: Annotated[
        str,
        typer.Argument(
            help="A checkpoint with an optimizer's state_dict, a folder of one, or a task to train now.",
            autocompletion=tasks_of,
        ),
    ],
    model: Annotated[
        Path | None, typer.Option(help="The model's weights, where the checkpoint lacks them.", show_default=False)
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="What trains the task.", show_default="none", autocompletion=rules_of)
    ] = "",
    lr: Annotated[float | None, typer.Option(help="Its learning rate.", show_default="the optimizer's")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of the run.", show_default="the task's")] = None,
    seed: Annotated[int, typer.Option(help="Of the model and the batches.")] = 0,
    tried: Annotated[bool, typer.Option("--try", help="Try the advice in short runs, and say what it did.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write a page of it there, an HTML file.", show_default=False)
    ] = None,
    language: Annotated[str, typer.Option(help="en or zh.")] = "en",
) -> None:
    """What is wrong with a run: told by a checkpoint's state alone, or by training a task once, watched."""
    from thalweg.lab.cli.lens import check_there, is_task, of_checkpoint, of_task

    try:
        check_there(what)
        if is_task(what):
            text = of_task(what, optimizer, lr, epochs, seed, tried, out, language)
        elif optimizer:
            raise ValueError(f"--optimizer: {what} is not a task, which alone is trained; must be left out")
        else:
            text = of_checkpoint(Path(what), model, out, language)
    except (ValueError, OSError) as error:
        refuse(error)
    except KeyboardInterrupt:
        stopped()
    print(visible(text))


@app.command("explain-difference")
def explain(
    first: Annotated[str, typer.Argument(help="torch.optim.RMSprop, or 'torch.optim.SGD(momentum=0.9)'.")],
    second: Annotated[str, typer.Argument(help="timm.optim:RMSpropTF, or any other torch.optim.Optimizer class.")],
    steps: Annotated[int, typer.Option(help="How far to follow the two.")] = 100,
) -> None:
    """Why do two optimizers of one name give different results? Run both, and tell what they do differently."""
    from thalweg.differences import DifferenceError, explain_difference

    try:
        print(explain_difference(first, second, steps=steps))
    except DifferenceError as error:
        refuse(error)


@app.command()
def conform(
    optimizer: Annotated[
        str,
        typer.Argument(
            help="A name from `thalweg rules`, package.module.Class, package.module:Class or my_file.py:Class.",
            show_default=False,
            autocompletion=rules_of,
        ),
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, NAME=VALUE; may be repeated.", show_default=False)
    ] = None,
    laws: Annotated[str | None, typer.Option(help="Names from --list, with commas.", show_default="all")] = None,
    out: Annotated[Path | None, typer.Option("--json", help="Write the report there too.", show_default=False)] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds for each law.")] = 60.0,
    listing: Annotated[bool, typer.Option("--list", help="List the laws, and try none.")] = False,
) -> None:
    """Try the laws of conformance on any torch.optim.Optimizer. Exit code 1 where one breaks."""
    from thalweg.conformance import arguments, run
    from thalweg.conformance.law import LAWS

    refuse_empty({"laws": laws})
    if listing:
        return show_laws(LAWS)
    try:
        if out and not out.parent.is_dir():
            raise ValueError(f"json: no folder {out.parent}")
        with law_progress() as progress:
            report = run.try_laws(
                optimizer,
                arguments.settings(settings or []),
                laws=laws.split(",") if laws else None,
                time_limit=time_limit,
                progress=progress,
            )
        if out:
            report.write(out)
    except (ValueError, OSError) as error:
        refuse(error)
    print(visible(str(report)))
    raise typer.Exit(1 if report.breaks else 0)
