"""A verb is declared once: its signature, whose annotations say what each option is. Its docstring's lines, its command
(`lab/cli/verbs.py`) and its tables in the docs (`docs/generate/tables.py`) are made from that."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from textwrap import fill
from typing import Annotated, Any, ParamSpec, TypeVar, get_args, get_origin

from thalweg.lab.errors import MissingExtra
from thalweg.lab.isolation import throwing_away

# What the extra brings, but for filelock and Jinja2, which torch brings too.
LAB = ("bokeh", "cloudpickle", "cmaes", "optuna", "psutil", "scipy", "sklearn")

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Option:
    """One thing that a verb is asked.

    Args:
        help: what it is, for whoever types it as for whoever calls it.
        names: on the command line, where that is not `--its-name`; of the first, where there are several.
        argument: given by its place on the command line.
        typed: whether the command line has it at all.
        unset: what holds where it is not given and its default does not say so.
        python: what else Python takes for it.
    """

    help: str
    names: tuple[str, ...] = ()
    argument: bool = False
    typed: bool = True
    unset: str = ""
    python: str = ""


@dataclass(frozen=True)
class Asked:
    """A parameter of a verb, with its option."""

    name: str
    annotation: Any
    default: Any
    option: Option

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    def line(self) -> str:
        """All of it, for a docstring."""
        besides = f"From Python also {self.option.python}." if self.option.python else ""
        otherwise = f"Default: {self.option.unset}." if self.option.unset and not self.required else ""
        text = " ".join(filter(None, [f"{self.name}:", self.option.help, besides, otherwise]))
        return fill(text, 116, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False)


def options(verb: Callable[..., Any]) -> list[Asked]:
    """What a verb is asked, in its signature's order."""
    found = []
    for parameter in inspect.signature(verb, eval_str=True).parameters.values():
        annotation = parameter.annotation  # typing's get_type_hints puts an Optional around it before Python 3.11
        if get_origin(annotation) is not Annotated:
            raise TypeError(f"{verb.__name__}: {parameter.name} has no Option; must be annotated with one")
        kind, option = get_args(annotation)
        found.append(Asked(parameter.name, kind, parameter.default, option))
    return found


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """A verb of the lab: its docstring gets a line an option, and it says at once where the extra is missing.

    Raises:
        MissingExtra: when it is called, for a package of the lab that is not installed.
    """

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        for package in LAB:
            if find_spec(package) is None:
                raise MissingExtra(f"thalweg.{function.__name__}", package, "lab")
        with throwing_away():
            return function(*args, **kwargs)

    asked.__doc__ = with_options(inspect.getdoc(function) or "", options(function))
    return asked


def with_options(doc: str, asked: list[Asked]) -> str:
    """A docstring with its "Args:", which stand before what it raises and gives back."""
    lines = "\n".join(one.line() for one in asked)
    places = [at for at in (doc.find("\nReturns:"), doc.find("\nRaises:")) if at >= 0]
    at = min(places, default=len(doc))
    head, tail = doc[:at].rstrip(), doc[at:].strip()
    return "\n\n".join(filter(None, [head, f"Args:\n{lines}", tail]))
