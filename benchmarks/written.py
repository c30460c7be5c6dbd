"""The files of a run: named for the machine and the day, and whole whenever the run is broken off."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any


def named(bench: str, results: dict[str, Any], kind: str = "") -> str:
    """Such as `step-amd-epyc-2-threads-2026-11-21-quick`; `kind` ends the name of a run that is not the full one."""
    machine = f"{results['machine']['cpu']} {results['machine']['threads']} threads"
    words = re.sub("[^a-z0-9]+", "-", machine.replace("(R)", "").replace("(TM)", "").lower()).strip("-")
    return f"{bench}-{words}-{results['date']}{kind}"


def write(results: dict[str, Any], text: str, folder: Path, name: str, indent: int | None = 1) -> None:
    """The data and the tables, in place of what an earlier moment of the run left."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in ((".json", json.dumps(results, indent=indent) + "\n"), (".md", text)):
        unfinished = folder / f".{name}{ending}.{os.getpid()}"
        unfinished.write_text(content, encoding="utf-8")
        os.replace(unfinished, folder / f"{name}{ending}")
