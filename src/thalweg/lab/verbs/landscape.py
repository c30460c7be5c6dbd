"""What `thalweg play` is given: a study that was recorded, or a task to be trained and recorded now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from thalweg.lab.errors import LabError
from thalweg.lab.isolation import throwing_away
from thalweg.lab.recording.read import read
from thalweg.lab.results import Comparison
from thalweg.lab.study.campaign import Progress
from thalweg.lab.study.records import read_spec
from thalweg.lab.task.builtin import BUILT_IN
from thalweg.lab.verbs.compare import compare
from thalweg.play.landscape import Landscape

OPTIMIZERS = "sgd,adam"


@throwing_away()
def landscape_of(what: str, optimizers: str, progress: Callable[[Progress], None] | None = None) -> Landscape:
    """The loss around the runs of a study, or of a task.

    A study's folder names code and runs none: its recording holds the slices. A task is code that you name: it is
    compared by the quick preset, so that each optimizer has a learning rate that suits it, and then recorded; the study
    is where `thalweg compare` would put it, and what it has is not trained again.

    Raises:
        StudyError: for a folder that is not a study's, or has no recording.
        TaskError: for what is neither a folder nor a task.
        LabError: for optimizers where a study has its own.
    """
    folder = Path(what)
    if (folder / "spec.json").is_file() or (folder.is_dir() and what not in BUILT_IN):
        read_spec(folder)
        if optimizers:
            raise LabError(f"--optimizers: {folder} is a study, which has its own; must be left out, or name a task")
        return read(folder)
    study: Comparison = compare(what, optimizers or OPTIMIZERS, record=True, progress=progress)
    return study.landscape()
