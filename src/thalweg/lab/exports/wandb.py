"""Weights & Biases: offline runs, one a trial, to be sent with `wandb sync` by who wants to. Nothing leaves here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.arguments import need
from thalweg.lab.exports.run import config_of, finals_of, name_of, scalars_of
from thalweg.lab.training.trial import Trial

if TYPE_CHECKING:
    from thalweg.lab.results import Result

OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_DISABLE_GIT": "true"}


def write(result: Result, folder: Path) -> Path:
    """Write offline runs under `folder`/wandb. Those written before are not written again."""
    wandb = need("wandb", "wandb")
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "written.jsonl"
    written = {json.loads(line) for line in log.read_text().splitlines()} if log.exists() else set()
    with _offline(folder), open(log, "a", encoding="utf-8") as record:
        try:
            for trial in result.trials:
                if trial.id not in written:
                    _write(wandb, result, trial, folder)
                    record.write(json.dumps(trial.id) + "\n")
                    record.flush()
        finally:
            wandb.teardown()  # it would leave a process at work
    return folder


def _write(wandb: Any, result: Result, trial: Trial, folder: Path) -> None:
    run = wandb.init(
        mode="offline",
        dir=str(folder),
        project=result.spec["task"]["name"],
        group=result.folder.resolve().name,
        name=name_of(trial),
        id=trial.id,
        config=config_of(trial),
        settings=wandb.Settings(
            silent=True, console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True
        ),
    )
    for step, values in _by_step(scalars_of(trial, result.spec["task"]["metric"])).items():
        run.log(values, step=step)
    run.summary.update(finals_of(trial))
    run.finish()


def _by_step(columns: dict[str, list[tuple[int, float]]]) -> dict[int, dict[str, float]]:
    rows: dict[int, dict[str, float]] = {}
    for tag, candidates in columns.items():
        for step, value in candidates:
            rows.setdefault(step, {})[tag] = value
    return rows


@contextmanager
def _offline(folder: Path) -> Iterator[None]:
    """The environment says so too, for whatever the library starts; the caller's comes back."""
    wanted = {**OFFLINE, "WANDB_DIR": str(folder), "WANDB_CACHE_DIR": str(folder), "WANDB_CONFIG_DIR": str(folder)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
