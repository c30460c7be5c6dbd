"""Where a study stands, wherever it runs: a table from its folder, once or again and again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from thalweg.lab.results.joint_status import JointStatus, read_joint_status
from thalweg.lab.results.status import StudyStatus, read_status
from thalweg.lab.verbs.options import Folder
from thalweg.lab.verbs.verb import Option, verb

__all__ = ["JointStatus", "StudyStatus", "status"]

EVERY = 2.0  # seconds between looks


@verb
def status(
    folder: Folder,
    *,
    watch: Annotated[bool, Option("Show it again and again, until nobody works on the study any more.")] = False,
    html: Annotated[bool, Option("Write it to the study's folder too, as status.html.")] = False,
) -> StudyStatus | JointStatus:
    """Tell where a study stands, or a comparison over several tasks, from its folder: while it runs, or afterwards.

    Raises:
        StudyError: for a folder that is not a study.
    """
    found = _read(Path(folder))
    if watch and found.at_work:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(highlight=False), auto_refresh=False, transient=True) as live:
            while found.at_work:
                live.update(Text(str(found)), refresh=True)
                time.sleep(EVERY)
                found = _read(Path(folder))
    if html:
        found.report()
    return found


def _read(folder: Path) -> StudyStatus | JointStatus:
    return read_joint_status(folder) or read_status(folder)
