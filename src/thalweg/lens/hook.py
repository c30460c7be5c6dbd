"""What stands on a model that is watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Hook:
    """A function of lens's on a model. A copy of the model, or one that was saved, has one in its place that does
    nothing."""

    def __init__(self, function: Callable[..., None] = lambda *given: None) -> None:
        self.function = function

    def __call__(self, *given: Any) -> None:
        self.function(*given)

    def __reduce__(self) -> Any:
        return Hook, ()
