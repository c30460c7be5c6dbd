"""The verbs as commands, each made from its signature: what it does and what it is asked is in `lab/verbs/`."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from itertools import chain
from types import NoneType
from typing import Annotated, Any, NoReturn, get_args

import typer

from thalweg.lab.arguments import need, several
from thalweg.lab.cli.as_json import print_json
from thalweg.lab.cli.completion import COMPLETIONS
from thalweg.lab.cli.screen import console, progress_display, show_result
from thalweg.lab.errors import LabError
from thalweg.lab.exports.optuna import try_storage
from thalweg.lab.passwords import without_passwords
from thalweg.lab.printable import visible
from thalweg.lab.results import Answer, JointComparison
from thalweg.lab.results.all_failed import all_failed
from thalweg.lab.study.command import typed
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.export import export
from thalweg.lab.verbs.range_test import range_test
from thalweg.lab.verbs.replay import Replay, replay, report
from thalweg.lab.verbs.status import status
from thalweg.lab.verbs.sweep import sweep
from thalweg.lab.verbs.tune import tune
from thalweg.lab.verbs.verb import Asked, Option, options

VERBS: tuple[Callable[..., Any], ...] = (compare, sweep, range_test, tune, replay, report, status, export)

JSON = Asked("json", bool, False, Option("Print the answer as JSON; progress goes to standard error."))
# What the command line asks of every verb that trains; from Python one calls `export` and `result.to_optuna`.
EXPORTS = (
    Asked("tensorboard", bool, False, Option("Write TensorBoard event files to the study's folder too.")),
    Asked("wandb", bool, False, Option("Write offline runs of Weights & Biases to the study's folder too.")),
    Asked("to_optuna", str, None, Option("Add all trials to an Optuna storage: sqlite:///x.db.", unset="none")),
)


def asked_on_the_command_line(verb: Callable[..., Any]) -> list[Asked]:
    """What a verb's command is asked: what its signature says, and what the command line has beside it."""
    return [one for one in options(verb) if one.option.typed] + besides(verb)


def besides(verb: Callable[..., Any]) -> list[Asked]:
    """What the command line alone asks: where to export to, and whether a machine reads the answer."""
    return [*EXPORTS, JSON] if trains(verb) else [JSON] if verb in (report, status) else []


def trains(verb: Callable[..., Any]) -> bool:
    """Whether a verb tells its progress: it then ends with a study."""
    return any(one.name == "progress" for one in options(verb))


def command(verb: Callable[..., Any]) -> Callable[..., None]:
    """The verb as typer reads it: its options with the types and the defaults that the command line has."""
    parameters = [as_typed(one) for one in asked_on_the_command_line(verb)]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

    def run(**given: Any) -> None:
        refuse_empty(given)
        (_train if trains(verb) else _read)(verb, {name: it for name, it in given.items() if it is not None})

    run.__name__, run.__doc__ = verb.__name__, (inspect.getdoc(verb) or "").partition("\n\n")[0]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def refuse_empty(given: Mapping[str, Any]) -> None:
    """Refuse an option of no text, such as a script's variable that was never set: it is not the same as none."""
    for name, value in given.items():
        if isinstance(value, str) and not value.strip():
            refuse(ValueError(f"{name}: got {value!r}; must be something, or be left out"))


def as_typed(asked: Asked) -> inspect.Parameter:
    """An option as typer declares it. A default that no word says is left out: the verb has it."""
    option, default, kind = asked.option, asked.default, command_line_type(asked.annotation)
    tab: Any = {"autocompletion": COMPLETIONS.get(asked.name)}
    if asked.required:
        declared: Any = typer.Option(*option.names, help=option.help, **tab)
        if option.argument:
            declared = typer.Argument(help=option.help, **tab)
    elif option.argument:
        declared, default, kind = typer.Argument(help=option.help, show_default=option.unset, **tab), None, kind | None
    else:
        names = option.names or ((f"--{asked.name.replace('_', '-')}",) if default is False else ())
        declared = typer.Option(*names, help=option.help, show_default=option.unset or True, **tab)
        if option.unset:
            default, kind = None, kind | None
    return inspect.Parameter(
        asked.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, declared]
    )


def command_line_type(annotation: Any) -> Any:
    """A number or a switch is one; everything else is a word, which the verb reads."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 and kinds[0] in (bool, int, float) else str


def refuse(error: ValueError | OSError) -> NoReturn:
    """One line for what the user can mend, and exit code 2."""
    typer.echo(visible("thalweg: " + " ".join(str(error).split())), err=True)
    raise typer.Exit(2) from None


def stopped() -> NoReturn:
    """Ctrl-C: how to go on."""
    console.print("\nStopped. Nothing finished is lost; to go on:", highlight=False)
    print("  thalweg " + shlex.join(map(without_passwords, sys.argv[1:])))
    raise typer.Exit(130) from None


def next_command(changed: Mapping[str, str]) -> str:
    """The command as it was typed, with some options changed."""
    words, typed = sys.argv[1:], []
    while words:
        word = words.pop(0)
        if word in changed:
            words = words[1:]
        elif word.partition("=")[0] not in changed:
            typed.append(word)
    return "thalweg " + shlex.join(map(without_passwords, [*typed, *chain(*changed.items())]))


def _train(verb: Callable[..., Any], given: dict[str, Any]) -> None:
    """Run a verb with its progress shown, and the exports after it; Ctrl-C says how to go on.

    Where no run ended well, the commonest reason is told, and it is exit code 1.
    """
    formats = [name for name in ("tensorboard", "wandb") if given.pop(name)]
    as_json = given.pop("json")
    storage = given.pop("to_optuna", None)
    try:
        for name in formats:
            need(name, name)  # before the hours, not after
        if storage:
            try_storage(storage)
        words = sys.argv[1:] if sys.argv[1:2] == [verb.__name__.replace("_", "-")] else []
        with redirect_stdout(sys.stderr) if as_json else nullcontext(), progress_display() as progress, typed(words):
            result = verb(**given, progress=progress)
        studies = list(result.studies.values()) if isinstance(result, JointComparison) else [result]
        for study in studies:
            if storage:
                study.to_optuna(storage)
            for name in formats:
                export(study.folder, name)
    except LabError as error:
        if error.then is not None:
            purpose, changed = error.then
            error = LabError(f"{error.said}. {purpose.capitalize()}: {next_command(changed)}")
        refuse(error)
    except KeyboardInterrupt:
        stopped()
    show_result(result, as_json)
    if not as_json and (more := getattr(result, "seeds_to_decide", None)):
        print(f"To decide, {more} fresh seeds:\n  {next_command({'--finalist-seeds': str(more)})}")
    told = [all_failed(study) for study in studies]
    for line in chain(*told):
        typer.echo(visible(line), err=as_json)
    if all(told):
        raise typer.Exit(1)


def _read(verb: Callable[..., Any], given: dict[str, Any]) -> None:
    """Run a verb that reads a study; a trial that is not the same again is exit code 1."""
    as_json = given.pop("json", False)
    try:
        result = verb(**given)
    except LabError as error:
        refuse(error)
    if isinstance(result, Answer):
        show_result(result, as_json)
    elif as_json:
        print_json(result.to_dict())
    else:
        name = getattr(result, "study_name", None)  # an Optuna study says nothing of itself
        said = str(result) if name is None else f"Optuna study {name!r}, {several(len(result.trials), 'trial')}"
        print(visible(said))
    if isinstance(result, Replay) and not result.same:
        raise typer.Exit(1)
