"""From a folder to what was found in it; nothing in it is changed, run or imported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thalweg.lab.errors import StudyError, first_line
from thalweg.lab.results.answer import Answer
from thalweg.lab.results.comparison import Comparison
from thalweg.lab.results.joint import TASKS, JointComparison
from thalweg.lab.results.range_test import RangeTest
from thalweg.lab.results.result import Result
from thalweg.lab.results.sweep import Sweep
from thalweg.lab.results.tuning import Tuning
from thalweg.lab.study.records import ANEW, check_together, read_json, read_spec, read_trials, read_versions
from thalweg.lab.study.store import resumed

KINDS: dict[str, type[Result]] = {kind.verb: kind for kind in (Comparison, Sweep, RangeTest, Tuning)}


def read_answer(folder: Path) -> Answer:
    """The answer in a folder: a study's, or the joint one of several.

    Raises:
        StudyError: for a folder that is not a study's, or one that is unfinished.
    """
    return read_joint(folder) or read(folder)


def read(folder: Path) -> Result:
    """The result of a study, from its folder alone; nothing in it is changed.

    Raises:
        StudyError: for a folder that is not a study's, or one that is unfinished.
    """
    spec = read_spec(folder)
    if spec["verb"] not in KINDS:
        raise StudyError(f"folder: {folder} was made by the verb {spec['verb']!r}; must be {', '.join(KINDS)}")
    kind = KINDS[spec["verb"]]
    trials = list(read_trials(folder / "trials.jsonl").values())
    check_together(folder, spec, trials)
    versions = read_versions(folder)
    lacking = kind.lacking(spec, trials, cut=bool(versions.get("cut")))
    if lacking:
        raise StudyError(f"folder: {folder} is unfinished: {lacking}; rerun its command to resume")
    try:
        return kind(folder, spec, versions, trials, resumed(versions))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise StudyError(
            f"folder: {folder} cannot be judged: what its files hold does not fit together "
            f"({type(error).__name__}: {first_line(error)})"
        ) from error


def read_joint(folder: Path) -> JointComparison | None:
    """The joint comparison in a folder, from its files alone; None where there is none.

    Raises:
        StudyError: for a damaged folder, or one of which a study is missing or is not at its end.
    """
    found = read_json(folder / TASKS, _fault)
    if found is None:
        return None
    studies = {}
    for name, inner in found["tasks"].items():
        result = read(folder / inner)
        if not isinstance(result, Comparison):
            raise StudyError(f"folder: {folder / inner} is a study by {result.verb!r}; must be by 'compare'; {ANEW}")
        studies[name] = result
    return JointComparison(folder, studies)


def _fault(value: Any) -> str:
    """What is wrong with tasks.json; the folders it names must be in its own."""
    tasks = value.get("tasks") if isinstance(value, dict) else None
    if not isinstance(tasks, dict) or not tasks:
        return "tasks must be an object of folders by task"
    wrong = [inner for inner in tasks.values() if not _is_a_child(inner)]
    return f"{wrong[0]!r} must be the name of a subfolder" if wrong else ""


def _is_a_child(inner: Any) -> bool:
    return isinstance(inner, str) and inner not in ("", ".", "..") and not set(inner) & set("/\\\0")
