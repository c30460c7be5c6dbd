"""What a program is made of: functions on one side, or on all of them at once, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fuzz.cases import Case
from fuzz.dice import Dice
from fuzz.sides import Side


@dataclass(frozen=True)
class Setting:
    """What is the same for a whole program, and decides which operations it may have."""

    case: Case
    torch: bool  # torch's class plays, too
    half: bool
    complex: bool


@dataclass(frozen=True)
class Operation:
    """`function(side, dice)`, or `function(sides, dice)` where it is `together`, with its weight in a program."""

    function: Callable[[Any, Dice], None]
    weight: int
    allowed: Callable[[Setting], bool]
    together: bool


OPERATIONS: dict[str, Operation] = {}


def operation(
    weight: int = 2, allowed: Callable[[Setting], bool] = lambda setting: True, together: bool = False
) -> Callable[[Callable[[Any, Dice], None]], Callable[[Any, Dice], None]]:
    """Enter a function among the operations, under its name."""

    def enter(function: Callable[[Any, Dice], None]) -> Callable[[Any, Dice], None]:
        OPERATIONS[function.__name__] = Operation(function, weight, allowed, together)
        return function

    return enter


def dense(setting: Setting) -> bool:
    """Where dense gradients are taken."""
    return setting.case.sparse != "only"


def moves(setting: Setting) -> bool:
    """Where parameters may lie in memory in any way: a sparse gradient needs a contiguous one."""
    return not setting.case.sparse


__all__ = ["OPERATIONS", "Dice", "Operation", "Setting", "Side", "dense", "moves", "operation"]
