"""What a Tab completes: names of tasks, rules, presets and the like, one by one within a list with commas; studies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from thalweg.lab.own_loop.pruning import PRUNERS as OF_REPORTS
from thalweg.lab.runners.choice import RUNNERS
from thalweg.lab.search.protocol import PRESETS, TUNABLE
from thalweg.lab.search.pruning import PRUNERS
from thalweg.lab.search.samplers import METHODS
from thalweg.lab.study.command import COMMAND
from thalweg.lab.study.records import TASKS
from thalweg.lab.task.builtin import BUILT_IN
from thalweg.lab.verbs.export import FORMATS

Completion = Callable[[str], list[str]]


def in_a_list(incomplete: str, known: Iterable[str]) -> list[str]:
    """What may stand where the last word of a list is begun; nothing twice.

    >>> in_a_list("adam,s", ["adam", "sgd", "soap"]), in_a_list("sgd,", ["sgd", "adam"])
    (['adam,sgd', 'adam,soap'], ['sgd,adam'])
    """
    before, comma, begun = incomplete.rpartition(",")
    named = before.split(",")
    return [f"{before}{comma}{each}" for each in known if each.startswith(begun) and each not in named]


def files(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Paths that begin so: folders, to go on into, and what is wanted."""
    where = Path(incomplete if incomplete.endswith("/") else Path(incomplete).parent)
    begun = "" if incomplete.endswith("/") else Path(incomplete).name
    try:
        inside = sorted(each for each in where.expanduser().iterdir() if each.name.startswith(begun))
    except OSError:
        return []
    front = incomplete[: len(incomplete) - len(begun)]
    return [
        f"{front}{each.name}{'/' * (each.is_dir() and not wanted(each))}"
        for each in inside
        if not each.name.startswith(".") and (wanted(each) or each.is_dir())
    ]


def tasks(incomplete: str) -> list[str]:
    """Built-in tasks, and Python files."""
    return in_a_list(incomplete, BUILT_IN) + files(incomplete, lambda path: path.suffix == ".py")


def rules(incomplete: str) -> list[str]:
    """The catalogue."""
    from thalweg.catalogue import CATALOGUE, COMBINED

    return in_a_list(incomplete, (*CATALOGUE, *COMBINED))


def studies(incomplete: str) -> list[str]:
    """Folders of studies, those of studies/ first."""
    is_study = lambda path: any((path / name).exists() for name in ("spec.json", TASKS, COMMAND))  # noqa: E731
    usual = [] if "/" in incomplete else files("studies/", is_study)
    return [one for one in usual if one.startswith(incomplete)] + files(incomplete, is_study)


def one_of(known: Iterable[str]) -> Completion:
    """One of a few words."""
    known = tuple(known)
    return lambda incomplete: [each for each in known if each.startswith(incomplete)]


COMPLETIONS: dict[str, Completion] = {
    "task": tasks,
    "optimizers": rules,
    "optimizer": rules,
    "folder": studies,
    "preset": one_of(PRESETS),
    "on": one_of(each for each in RUNNERS if each.islower()),
    "method": one_of(METHODS),
    "pruner": one_of((*PRUNERS, *OF_REPORTS)),
    "hyperparameters": lambda incomplete: in_a_list(incomplete, TUNABLE),
    "to": one_of(FORMATS),
    "direction": one_of(("min", "max")),
}
