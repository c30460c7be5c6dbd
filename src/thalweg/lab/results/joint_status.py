"""Where a comparison over several tasks stands: which of its studies are done, at work, stopped or not begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.lab.judging.wording.numbers import listed
from thalweg.lab.printable import aligned, visible
from thalweg.lab.results.status import StudyStatus, at_work, block, first_upper, read_status
from thalweg.lab.study.command import to_resume
from thalweg.lab.study.records import find_spec
from thalweg.lab.study.store import write_atomically
from thalweg.lab.study.tasks import read_tasks


@dataclass(frozen=True)
class JointStatus:
    """Where a comparison over several tasks stands.

    Attributes:
        folder: of all of them.
        studies: where each task's study stands, by task; None for one that has not begun.
        at_work: whether a process is working on any of them now.
    """

    folder: Path
    studies: Mapping[str, StudyStatus | None]
    at_work: bool

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """A row a task."""
        rows = [[name, study.far if study else "0 runs", self._state(study)] for name, study in self.studies.items()]
        return ["task", "ended", "state"], rows

    @property
    def sentence(self) -> str:
        """How far it is, in a line."""
        ended = [name for name, study in self.studies.items() if study is not None and study.over]
        done = f"{listed(ended)} {'is' if len(ended) == 1 else 'are'} done" if ended else "none is done"
        state = "at work" if self.at_work else "at its end" if self.over else "nobody is working on it"
        return f"compare on {len(self.studies)} tasks: {done}; {state}."

    @property
    def over(self) -> bool:
        """Whether every task's runs have ended."""
        return all(study is not None and study.over for study in self.studies.values())

    def to_dict(self) -> dict[str, Any]:
        """All of it for a machine: where each task's study stands, None for one that has not begun."""
        return {
            "folder": str(self.folder),
            "at_work": self.at_work,
            "over": self.over,
            "tasks": {name: study.to_dict() if study else None for name, study in self.studies.items()},
            "resume": "" if self.at_work or self.over else to_resume(self.folder),
        }

    def report(self, path: str | Path | None = None) -> Path:
        """Write it as one HTML file; `status.html` in the folder if None."""
        from thalweg.lab.report import answer
        from thalweg.lab.report.page import Page

        parts = [block(*self.cells())]
        notes = ["Not an answer yet: that is given once every task's study is at its end."]
        page = Page(
            title=f"{len(self.studies)} tasks: compare under way",
            about="compare on several tasks, as far as it has come",
            screens=[answer.screen(self.sentence, "", [], parts, notes)],
        )
        target = Path(path) if path is not None else self.folder / "status.html"
        write_atomically(target, page.html)
        return target

    def __str__(self) -> str:
        lines = aligned(*self.cells())
        resume = [] if self.at_work or self.over else [first_upper(to_resume(self.folder))]
        return visible("\n".join([*lines, "", self.sentence, *resume]))

    def _state(self, study: StudyStatus | None) -> str:
        if study is None:
            return "not begun"
        return "at work" if study.at_work else "done" if study.over else "stopped"


def read_joint_status(folder: Path) -> JointStatus | None:
    """Where the studies of several tasks stand; None for a folder that is not of several.

    Raises:
        StudyError: for a damaged folder.
    """
    folders = read_tasks(folder)
    if folders is None:
        return None
    studies = {name: read_status(inner) if find_spec(inner) is not None else None for name, inner in folders.items()}
    working = at_work(folder) or any(study is not None and study.at_work for study in studies.values())
    return JointStatus(folder, studies, working)
