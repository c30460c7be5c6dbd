"""Hyperparameters as declared for a training loop of the user's own: `lr=1e-5:1e-1,dropout=0:0.5,act=relu|gelu`.

A name that the optimizer has is the optimizer's; any other the loop asks for, by `run.get` or as a placeholder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thalweg.lab.errors import LabError
from thalweg.lab.search import hyperparameters
from thalweg.lab.search.hyperparameters import SearchRange
from thalweg.lab.task.own_loop import GIVEN, OwnLoop
from thalweg.lookup import listed, must_be

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.task.task import Task

ALLOWED = "a range low:high, or low:high:default, or options a|b|c"


def choose(entry: Entry, task: Task, wanted: Any) -> list[SearchRange]:
    """What is tuned: see `hyperparameters.choose`; of a loop of the user's own also what only the loop knows.

    Raises:
        LabError: for a hyperparameter that cannot be, or a range that is none.
    """
    if not isinstance(task, OwnLoop):
        return hyperparameters.choose(entry, task, wanted)
    known = hyperparameters.search_ranges(entry, task)
    declared = _declarations(wanted)
    chosen: dict[str, SearchRange] = {} if declared else dict(known)
    for name, given in declared.items():
        own = name in known or any(one.setting == name for one in known.values())
        mine = {name: None if given is None else tuple(given)[:2]}
        found = hyperparameters.choose(entry, task, mine) if own else [_of_loop(name, given)]
        chosen |= {one.name: one for one in found}
    if not chosen:
        raise LabError("hyperparameters: got none; must declare at least one, such as lr=1e-5:1e-1")
    if task.command:
        chosen = {name: _filled(one) for name, one in chosen.items()}
        _asked_for(task, entry, list(chosen.values()))
    return list(chosen.values())


def first_tries(wanted: Any, chosen: Sequence[SearchRange]) -> list[dict[str, Any]]:
    """Configurations to try first: `lr=3e-4,beta1=0.9; lr=1e-3`, or dictionaries.

    Raises:
        LabError: for a name that is not tuned, or a value outside its range.
    """
    if not wanted:
        return []
    if isinstance(wanted, str):
        parts = [[part.partition("=") for part in listed(one)] for one in wanted.split(";") if one.strip()]
        wanted = [{name.strip(): _plain(text) for name, _, text in one} for one in parts]
    known = {one.name: one for one in chosen}
    tries = [dict(one) for one in ([wanted] if isinstance(wanted, Mapping) else wanted)]
    for name, value in ((name, value) for one in tries for name, value in one.items()):
        if name not in known:
            raise LabError(f"try: got {name!r}, which is not tuned{must_be(name, known)}")
        if not is_searched(known[name], value):
            raise LabError(f"try: {name} got {value!r}; must lie in what is searched")
    return tries


def is_searched(one: SearchRange, value: Any) -> bool:
    """Whether a value lies in what is searched."""
    if one.options:
        return value in one.options
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    number = 1 - value if one.complement else value
    return bool(one.low * (1 - 1e-9) <= number <= one.high * (1 + 1e-9))


def _asked_for(task: OwnLoop, entry: Entry, chosen: Sequence[SearchRange]) -> None:
    """What is tuned must be in the command, and what is in the command must be filled."""
    names = task.placeholders
    idle = [one.name for one in chosen if one.setting not in names and one.name not in names]
    if idle:
        raise LabError(f"command: has no {{{idle[0]}}}, which is to be tuned: its value would reach nobody")
    fills = {*GIVEN, "lr", *(one.name for one in chosen), *(one.setting for one in chosen), *entry.settings}
    if entry.default_rate is None:
        fills -= {"lr"} - {one.name for one in chosen}
    bare = [name for name in names if name not in fills]
    if bare:
        raise LabError(
            f"command: nothing fills {{{bare[0]}}}; declare its range, as in --hyperparameters {bare[0]}=0.1:10"
        )


def _filled(one: SearchRange) -> SearchRange:
    """With a default: a placeholder must stand for something in the first run too."""
    return one if one.default is not None else replace(one, default=one.value(one.at(0.5)))


def _of_loop(name: str, given: Sequence[Any] | None) -> SearchRange:
    if not name.isidentifier() or name in GIVEN:
        raise LabError(f"hyperparameters: got the name {name!r}; must be a name that the loop asks for")
    if given is None:
        raise LabError(f"hyperparameters: {name} is not the optimizer's, and has no usual range; must be {ALLOWED}")
    numbers = all(isinstance(part, int | float) and not isinstance(part, bool) for part in given)
    if not numbers or not isinstance(given, tuple):
        options = tuple(given)
        if len(set(options)) < max(2, len(options)):
            raise LabError(f"hyperparameters: {name} got {given!r}; must be two or more different options")
        return SearchRange(name, 0, len(options) - 1, None, name, options=options, linear=True, of_loop=True)
    if len(given) not in (2, 3) or not given[0] < given[1] or not all(map(math.isfinite, given)):
        raise LabError(f"hyperparameters: {name} got the range {given!r}; must be {ALLOWED}, the lower first")
    low, high, default = given if len(given) == 3 else (*given, None)
    whole = all(isinstance(part, int) for part in (low, high))
    linear = low <= 0 or (whole and high < 10 * low)
    return SearchRange(name, low, high, default, name, linear=linear, whole=whole, of_loop=True)


def _declarations(wanted: Any) -> dict[str, Sequence[Any] | None]:
    """By name a tuple (low, high) or (low, high, default), or a list of options; None for the usual range."""
    if wanted is None:
        return {}
    if isinstance(wanted, str):
        parts = [part.partition("=") for part in listed(wanted)]
        return {name.strip(): _parsed(name.strip(), text) if equals else None for name, equals, text in parts}
    if not isinstance(wanted, Mapping):
        return dict.fromkeys(wanted)
    return {name: None if given is None else given if isinstance(given, tuple) else list(given)
            for name, given in wanted.items()}  # fmt: skip


def _parsed(name: str, text: str) -> Sequence[Any]:
    if "|" in text:
        return [_plain(part) for part in text.split("|")]
    parts = tuple(_plain(part) for part in text.split(":"))
    if len(parts) not in (2, 3) or any(isinstance(part, str) for part in parts):
        raise LabError(f"hyperparameters: {name} got {text!r}; must be {ALLOWED}")
    return parts


def _plain(text: str) -> Any:
    """A number where it is one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()
