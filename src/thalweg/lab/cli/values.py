"""What was typed for an option that takes a number: a message about it tells the value too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import typer
from typer.core import TyperGroup


class Commands(TyperGroup):
    """The commands; where a value is none for its option, the message has it."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        words = [*getattr(ctx, "_protected_args", ()), *ctx.args]
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            names = getattr(error.param, "opts", ())
            if (value := typed_for(names, words)) is not None and value not in error.message:
                error.message = f"got {value!r}. {error.message}"
            raise


def typed_for(names: Iterable[str], words: Sequence[str]) -> str | None:
    """The word that stands for an option, the last one.

    >>> typed_for(["--trials"], ["compare", "digits", "--trials", "many"]), typed_for(["--lr"], ["--lr=x"])
    ('many', 'x')
    """
    found = None
    for name in names:
        for place, word in enumerate(words):
            if word == name and place + 1 < len(words):
                found = words[place + 1]
            elif word.startswith(f"{name}="):
                found = word.partition("=")[2]
    return found
