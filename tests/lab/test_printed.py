"""What a task prints is in its study's log; the progress stays readable."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import little
import pytest

from thalweg.lab.study.printed import log_prints
from thalweg.lab.verbs.compare import compare


def test_prints_of_the_model_are_in_the_log_and_those_of_the_progress_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = little.task()
    make = task.model

    def talkative() -> Any:
        print("a model is built")
        return make()

    compare(
        replace(task, model=talkative), ["sgd"], trials=1, finalist_seeds=1, out=tmp_path / "s", on="alone",
        progress=lambda now: print(f"{now.done} done"),
    )  # fmt: skip
    told, log = capsys.readouterr().out, (tmp_path / "s" / "log.txt").read_text()
    assert "2 done" in told and "done" not in log
    assert log.count("a model is built") >= 2


def test_other_threads_keep_their_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def items() -> Any:
        print("mine")
        other = threading.Thread(target=print, args=("another's",))
        other.start()
        other.join()
        yield 1

    assert list(log_prints(items(), tmp_path)) == [1]
    assert (tmp_path / "log.txt").read_text() == "mine\n" and capsys.readouterr().out == "another's\n"
    assert list(log_prints(iter(()), tmp_path / "empty")) == [] and not (tmp_path / "empty").exists()
