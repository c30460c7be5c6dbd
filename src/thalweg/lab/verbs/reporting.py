"""`thalweg.report`: of a study's folder, its report anew; of a step and values, how a command's run goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload


@overload
def report(what: int, **values: float) -> None: ...
@overload
def report(what: str | Path) -> Any: ...
def report(what: Any, **values: float) -> Any:
    """Make a study's report anew; or, in a script that a study runs, tell how its run goes.

    Args:
        what: the study's folder; or the step that `values` belong to.
        values: numbers by name, such as `val_loss=0.3`: the one that the study's `metric` names is compared, else the
            first. Outside a study nothing happens.

    Returns:
        The study's result; nothing for a step.

    Raises:
        StudyError: for a folder that is not a study, or has too few trials yet for an answer.
        ValueError: for a step that is no whole number, or a value that is not a number.
    """
    if values or isinstance(what, int | float):
        from thalweg.lab.own_loop.run import report as tell

        return tell(what, **values)
    from thalweg.lab.verbs.replay import report as anew

    return anew(what)
