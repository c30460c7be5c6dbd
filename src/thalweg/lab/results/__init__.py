"""What the verbs give back: one shape of result, a kind a verb, each in its own file."""

from __future__ import annotations

from pathlib import Path

from thalweg.lab.errors import StudyError, first_line
from thalweg.lab.results.comparison import Comparison
from thalweg.lab.results.range_test import RangeTest
from thalweg.lab.results.result import Result
from thalweg.lab.results.sweep import Sweep
from thalweg.lab.results.tuning import Tuning
from thalweg.lab.study.records import check_together, read_spec, read_trials, read_versions
from thalweg.lab.study.store import resumed

__all__ = ["Comparison", "RangeTest", "Result", "Sweep", "Tuning", "read"]

KINDS: dict[str, type[Result]] = {kind.verb: kind for kind in (Comparison, Sweep, RangeTest, Tuning)}


def read(folder: Path) -> Result:
    """The result of a study, from its folder alone; nothing in it is changed.

    Raises:
        StudyError: for a folder that is no study, or one that is not at its end.
    """
    spec = read_spec(folder)
    if spec["verb"] not in KINDS:
        raise StudyError(f"folder: {folder} was made by the verb {spec['verb']!r}; must be {', '.join(KINDS)}")
    kind = KINDS[spec["verb"]]
    trials = list(read_trials(folder / "trials.jsonl").values())
    check_together(folder, spec, trials)
    lacking = kind.lacking(spec, trials)
    if lacking:
        raise StudyError(f"folder: {folder} is not at its end: {lacking}; run its command again to go on")
    versions = read_versions(folder)
    try:
        return kind(folder, spec, versions, trials, resumed(versions))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StudyError(
            f"folder: {folder} cannot be judged: what its files hold does not fit together "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error
