"""What a law is: a function that asks one thing of an optimizer. It returns its evidence, or raises what it saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.conformance.errors import BrokenError, NotApplicableError, RefusedError

if TYPE_CHECKING:
    from thalweg.conformance.subject import Subject

Check = Callable[["Subject"], str]


@dataclass(frozen=True)
class Law:
    """One law: its name, its meaning in a sentence, and how it is tried.

    `modes`: it is tried under every switch of the class (`nesterov`, `maximize`, weight decay, ...), not the plain
    settings alone. `may_refuse`: an optimizer that says clearly that it does not do this breaks nothing.
    """

    name: str
    theme: str
    meaning: str
    check: Check
    modes: bool
    may_refuse: bool


LAWS: list[Law] = []


def law(theme: str, *, modes: bool = False, may_refuse: bool = False) -> Callable[[Check], Check]:
    """Enter a function in the list of laws; its docstring is the law's meaning."""

    def enter(check: Check) -> Check:
        meaning = " ".join((check.__doc__ or "").split())
        LAWS.append(Law(check.__name__, theme, meaning, check, modes, may_refuse))
        return check

    return enter


def expect(holds: bool, seen: str, expected: str) -> None:
    """Raise BrokenError unless it holds."""
    if not holds:
        raise BrokenError(seen, expected)


def need(has: bool, what: str) -> None:
    """Raise NotApplicableError unless the optimizer has it."""
    if not has:
        raise NotApplicableError(what)


def refused(action: Callable[[], object], what: str) -> str:
    """What the optimizer says against `what`; BrokenError if it takes it, or fails without saying why."""
    try:
        action()
    except RefusedError as refusal:
        expect(refusal.clear, f"{what}: {refusal}", "an error that says what is wrong")
        return str(refusal)
    raise BrokenError(f"{what} is silently accepted", "an error")
