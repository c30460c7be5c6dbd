"""What is typed of a class on the command line: its settings, `lr=0.1`; and the name a fresh process finds it by."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from thalweg.lookup import find


def address(cls: type) -> str | None:
    """The name under which a fresh process finds the class; None for one of a script, or made inside a function."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__ == "__main__" or "<locals>" in name:
        return None
    try:
        return name if find(name) is cls else None
    except ValueError:
        return None


def settings(typed: Iterable[str]) -> dict[str, Any]:
    """Settings typed as NAME=VALUE; a value that is no Python literal is a word.

    Raises:
        ValueError: without a name or a value.
    """
    found: dict[str, Any] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier() and value):
            raise ValueError(f"set: got {text!r}; must be NAME=VALUE, such as momentum=0.9")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found
