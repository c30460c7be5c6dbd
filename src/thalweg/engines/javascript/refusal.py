"""What JavaScript cannot repeat is refused with the line that asks for it."""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.engines.trace import Untraceable
from thalweg.rule.equations import RuleError


def refusal(rule: str, function: Callable[..., Any], line: int, reason: str) -> RuleError:
    """The error that names the line."""
    path = function.__code__.co_filename
    text = linecache.getline(path, line).strip()
    return RuleError(f"{path}:{line}: rule {rule!r} cannot run in JavaScript: {reason}\n    {text}")


@contextmanager
def refusing(rule: str, function: Callable[..., Any]) -> Iterator[None]:
    """Turn what goes wrong while a function is traced into a RuleError with the line of its author's."""
    try:
        yield
    except RuleError:
        raise
    except (Untraceable, TypeError, AttributeError, ValueError, RuntimeError, NotImplementedError, IndexError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = inspect.unwrap(function).__code__
        lines = [frame.lineno for frame in frames if frame.filename == own.co_filename and frame.lineno]
        raise refusal(rule, function, lines[0] if lines else own.co_firstlineno, str(error)) from None
