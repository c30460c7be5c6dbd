"""`thalweg.conform`: every law on every implementation of one optimizer class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch

from thalweg.catalogue import CATALOGUE, listed
from thalweg.conformance.arguments import address
from thalweg.conformance.child_process import can_travel, try_apart
from thalweg.conformance.errors import RefusedError
from thalweg.conformance.judge import outcomes
from thalweg.conformance.law import LAWS
from thalweg.conformance.report import Outcome, Report
from thalweg.conformance.subject import Subject, parameters_of, variants_of, words
from thalweg.lookup import ALLOWED, did_you_mean, find

LIMIT = 60.0  # seconds for a law; the longest takes some seconds
HERE = "tried in this process, without a time limit: a fresh one cannot import this class or take its settings"
RATE = 1e-2  # where the constructor wants a learning rate and none is given


def conform(
    optimizer: type[torch.optim.Optimizer] | str,
    *,
    laws: Iterable[str] | None = None,
    apart: bool = True,
    time_limit: float = LIMIT,
    **settings: Any,
) -> Report:
    """Try every law on an optimizer class, or those named, and tell what holds.

    Args:
        optimizer: the class, or its name: 'torch.optim.SGD', 'package.module:Class', 'my_file.py:Class'; or a rule's in
            the catalogue: 'sgd'.
        laws: names of laws; all if None.
        apart: whether to try them in a child process, so that a crash or a hang breaks a law and nothing more. A class
            that a fresh process cannot import is tried in this one.
        time_limit: seconds for each law, above 0, where they are tried apart.
        settings: of the optimizer, by keyword.

    >>> import torch, thalweg
    >>> report = thalweg.conform(torch.optim.SGD, laws=["negative_lr", "nan_lr"], apart=False, foreach=False)
    >>> [outcome.law for outcome in report.breaks]
    ['nan_lr']

    Raises:
        ValueError: no such class or law, or the class cannot be made with these settings.
    """
    return try_laws(optimizer, settings, laws=laws, apart=apart, time_limit=time_limit)


def try_laws(
    optimizer: type[torch.optim.Optimizer] | str,
    settings: dict[str, Any],
    *,
    laws: Iterable[str] | None = None,
    apart: bool = True,
    time_limit: float = LIMIT,
    progress: Callable[[Outcome], None] | None = None,
) -> Report:
    """As `conform`, with the settings in a dict and `progress` called with each outcome."""
    cls, own = _named_class(optimizer) if isinstance(optimizer, str) else (optimizer, {})
    settings = {**own, **settings}
    if not (isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)):
        raise ValueError(f"optimizer: got {cls!r}; must be a subclass of torch.optim.Optimizer")
    if not time_limit > 0:
        raise ValueError(f"time_limit: got {time_limit}; must be a number of seconds above 0")
    settings = {**_required(cls, settings), **settings}
    variants = variants_of(cls, settings)
    jobs = [(variant, law) for variant in variants for law in _named(laws)]
    _can_be_made(cls, settings)
    place = address(cls) if apart and can_travel(settings) else None
    found = try_apart(place, settings, jobs, time_limit) if place else outcomes(cls, settings, jobs)
    kept = []
    for outcome in found:
        kept.append(outcome)
        if progress:
            progress(outcome)
    return Report(
        subject=optimizer if isinstance(optimizer, str) else f"{cls.__module__}.{cls.__qualname__}",
        settings=words(settings),
        torch=torch.__version__.partition("+")[0],
        variants=tuple(words(variant) for variant in variants),
        outcomes=tuple(kept),
        notes=(HERE,) if apart and not place else (),
    )


def _named_class(name: str) -> tuple[Any, dict[str, Any]]:
    """The class of this name, and the settings that make it the rule, where it is one of the catalogue's."""
    if {*name} & {*".:"}:
        return find(name), {}
    entry = listed(name)
    if entry is None:
        near = did_you_mean(name, CATALOGUE)
        must = f"{near} It must be" if near else "; must be"
        raise ValueError(f"optimizer: got {name!r}{must} a name from `thalweg rules`, {ALLOWED}")
    if not isinstance(entry.optimizer, type):
        raise ValueError(f"optimizer: {name} is made of several rules; must be one of them, or {ALLOWED}")
    return entry.optimizer, dict(entry.settings)


def _named(laws: Iterable[str] | None) -> list[str]:
    """The laws' names in their order; all of them for None."""
    known = [law.name for law in LAWS]
    if laws is None:
        return known
    asked = [name.strip().replace("-", "_") for name in laws]
    for name in asked:
        if name not in known:
            hint = did_you_mean(name, known) or f"; must be of {', '.join(known)} (thalweg conform --list tells them)"
            raise ValueError(f"laws: got {name!r}{hint}")
    return [name for name in known if name in asked]


def _required(cls: type[torch.optim.Optimizer], settings: dict[str, Any]) -> dict[str, Any]:
    """A learning rate where one must be given; ValueError for anything else that must."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    wanted = [
        name
        for name, parameter in list(parameters_of(cls).items())[1:]
        if parameter.default is inspect.Parameter.empty and parameter.kind not in kinds and name not in settings
    ]
    others = [name for name in wanted if name != "lr"]
    if others:
        raise ValueError(f"{cls.__name__} must be given {', '.join(others)}")
    return {"lr": RATE} if wanted else {}


def _can_be_made(cls: type[torch.optim.Optimizer], settings: dict[str, Any]) -> None:
    subject = Subject(cls, settings)
    try:
        subject.build([torch.nn.Parameter(torch.ones(4, 3, device="cpu"))])
    except RefusedError as refusal:
        raise ValueError(f"{cls.__name__}({words(settings)}) cannot be made: {refusal}") from None
