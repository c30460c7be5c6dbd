"""From a folder to what was found in it; nothing in it is changed, run or imported."""

from __future__ import annotations

from pathlib import Path

from thalweg.lab.errors import StudyError, first_line
from thalweg.lab.results.answer import Answer
from thalweg.lab.results.comparison import Comparison
from thalweg.lab.results.joint import JointComparison
from thalweg.lab.results.range_test import RangeTest
from thalweg.lab.results.result import Result
from thalweg.lab.results.sweep import Sweep
from thalweg.lab.results.tuning import Tuning
from thalweg.lab.study.command import to_resume
from thalweg.lab.study.records import ANEW, check_together, find_spec, read_spec, read_trials, read_versions
from thalweg.lab.study.store import resumed
from thalweg.lab.study.tasks import read_tasks

KINDS: dict[str, type[Result]] = {kind.verb: kind for kind in (Comparison, Sweep, RangeTest, Tuning)}


class Unfinished(StudyError):
    """A study whose runs do not make an answer yet; `lacking` is what it needs."""

    def __init__(self, *said: object, lacking: str) -> None:
        super().__init__(*said)
        self.lacking = lacking


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
        raise Unfinished(f"folder: {folder} is unfinished: {lacking}; {to_resume(folder)}", lacking=lacking)
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
    folders = read_tasks(folder)
    if folders is None:
        return None
    studies, missing = {}, {}
    for name, inner in folders.items():
        if find_spec(inner) is None:
            missing[name] = "has not begun"
            continue
        try:
            result = read(inner)
        except Unfinished as error:
            missing[name] = error.lacking
            continue
        if not isinstance(result, Comparison):
            raise StudyError(f"folder: {inner} is a study by {result.verb!r}; must be by 'compare'; {ANEW}")
        studies[name] = result
    if missing:
        what = "; ".join(f"{name}: {lacking}" for name, lacking in missing.items())
        done = f"; done: {', '.join(str(study.folder) for study in studies.values())}" if studies else ""
        raise Unfinished(f"folder: {folder} is unfinished: {what}{done}; {to_resume(folder)}", lacking=what)
    return JointComparison(folder, studies)
