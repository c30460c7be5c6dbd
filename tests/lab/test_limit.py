"""A run that takes too long, in Python or out of its reach, ends; the others go on."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from asking import jobs, numbers

from thalweg.lab.runners import Alone, Processes
from thalweg.lab.runners.choice import choose
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.processes import runner as processes
from thalweg.lab.runners.processes.lost_worker import after_limit
from thalweg.lab.runners.runner import Runner
from thalweg.lab.training import time_limit
from thalweg.lab.training.job import Job
from thalweg.lab.verbs import sweep as verb
from thalweg.lab.verbs.compare import compare


class Hangs(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)


class Plain(torch.optim.SGD):
    """Compiles nothing at its first step."""


class Deaf(torch.optim.SGD):
    """Waits in C, where no signal's handler runs."""

    def step(self, closure: Any = None) -> Any:
        libc = ctypes.PyDLL(None)  # it keeps the interpreter's lock
        clock = time.time()
        while time.time() - clock < 60:
            libc.sleep(60)


def limited(optimizers: list[Any], seconds: float, **more: Any) -> list[Job]:
    return [replace(job, limit=seconds) for job in jobs(optimizers, rates=[0.1], **more)]


@pytest.mark.apart
@pytest.mark.parametrize(
    "runner", [Alone(), Lanes(4), Processes(1), Processes(1, Lanes(4), 4)], ids=["alone", "lanes", "processes", "both"]
)
def test_a_run_that_hangs_ends_and_the_others_go_on(runner: Runner) -> None:
    asked = limited([Plain, Hangs], 3.0, seeds=1)
    with runner:
        list(runner.run(little.task(), jobs([Plain], rates=[0.2], seeds=2)))  # imports a compiler
        ended = {trial.id: trial for trial in runner.run(little.task(), asked)}
    assert len(ended) == 2
    for job in asked:
        status = "timed out" if job.entry.optimizer is Hangs else "done"
        assert ended[job.id].status == status, ended[job.id].message
        assert status == "done" or ended[job.id].message == "took longer than the time limit of 3 s"


@pytest.mark.apart
def test_one_that_hears_nothing_is_ended_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit, "GRACE", 1.0)
    with Processes(1) as runner:
        asked = limited([Deaf, "sgd"], 10.0, seeds=1)  # a worker's start, and its first job, take a while
        ended = {trial.id: trial.status for trial in runner.run(little.task(), asked)}
    assert [ended[job.id] for job in asked] == ["timed out", "done"]


def test_of_several_in_a_process_each_is_tried_alone() -> None:
    one, two = limited(["sgd"], 1.0, seeds=2)
    todo = deque[list[Job]]()
    assert list(after_limit({one.id: one, two.id: two}, todo)) == [] and list(todo) == [[two], [one]]


def test_a_limit_that_is_kept_changes_no_number() -> None:
    plain, asked = jobs(["sgd", "adam"], rates=[0.1], seeds=1), limited(["sgd", "adam"], 60, seeds=1)
    assert numbers(Alone().run(little.task(), plain)) == numbers(Alone().run(little.task(), asked))


@pytest.mark.apart
def test_auto_takes_processes_where_there_is_a_limit() -> None:
    entries = [job.entry for job in jobs(["sgd"], rates=[0.1], seeds=1)]
    runner, choice = choose(little.task(), entries, runs=4, limit=60.0)
    runner.close()
    assert isinstance(runner, processes.Processes) and choice.on == "processes"


def test_a_study_with_a_limit(tmp_path: Path) -> None:
    list(Alone().run(little.task(), jobs([Plain], rates=[0.2], seeds=1)))
    found = compare(
        little.task(), [Plain, Hangs], trials=1, finalist_seeds=1, time_limit="2s", on="alone", out=tmp_path / "s"
    )
    assert {t.status for t in found.trials if "Hangs" in t.optimizer} == {"timed out"}
    assert any("ran out of time: 2 of 2 runs; the last said: took longer than" in note for note in found.notes)
    assert "Plain" in found.verdict and (tmp_path / "s" / "report.html").exists()
    with pytest.raises(ValueError, match="time_limit: got '1y'; must be a length of time"):
        verb.sweep(little.task(), "sgd", time_limit="1y", out=tmp_path / "t")


def test_no_module_is_left_half_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step of a process imports a compiler; half of one would fail every later run."""
    (tmp_path / "slowly_made.py").write_text("import time\nfirst = 1\ntime.sleep(1)\nlast = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    class Imports(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            import slowly_made  # type: ignore[import-not-found]

            assert slowly_made.last == 2
            time.sleep(0.4)
            return super().step(closure)

    list(Alone().run(little.task(), jobs([Plain], rates=[0.2], seeds=1)))
    first, second = Alone().run(
        little.task(), [*limited([Imports], 0.3, seeds=1), *jobs([Imports], rates=[0.2], seeds=1)]
    )
    assert (first.status, second.status) == ("timed out", "done"), second.message
