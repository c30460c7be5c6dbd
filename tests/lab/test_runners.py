"""Runners: the same trials whichever runs them, and what happens when a worker process dies, is stopped or left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from asking import SPEC, job, jobs, numbers
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.lab.errors import LabError
from thalweg.lab.runners import Alone, Choice, Processes, Runner, choice, choose
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.processes import runner as processes
from thalweg.lab.study.campaign import Campaign, Progress
from thalweg.lab.study.store import Study
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Trial
from thalweg.lab.verbs.compare import compare


@pytest.fixture(scope="module")
def pool() -> Iterator[Processes]:
    with Processes(workers=2) as runner:
        yield runner


def alive(pid: int) -> bool:
    """Whether a process runs: what has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(pids: Sequence[int], within: float = 10.0) -> bool:
    deadline = time.time() + within
    while any(map(alive, pids)) and time.time() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_the_same_to_the_bit_from_functions_nobody_else_could_import(pool: Processes) -> None:
    class Local(torch.optim.SGD):
        pass

    def chatty() -> nn.Module:
        print("a print must not end up among the answers")
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))

    task = little.task(model=chatty)
    asked = [*jobs(["adam", Local, "adam(eps=1e-3)"]), *jobs(["prodigy"], seeds=1, phase="final")]
    asked += jobs(["sgd"], rates=[1e6], seeds=1)  # diverges
    assert numbers(pool.run(task, asked)) == numbers(Alone().run(task, asked))


def test_the_same_from_a_users_file_and_from_a_loader_with_workers(pool: Processes, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(little.FILE)
    loader: Any = DataLoader(TensorDataset(*little.rows(64, 0)), 32, shuffle=True, num_workers=1)
    for task in (load_task(str(tmp_path / "mine.py")), little.task(train=loader)):
        asked = jobs(["adam"], rates=[0.1], seeds=2, epochs=1)
        assert numbers(pool.run(task, asked)) == numbers(Alone().run(task, asked))


@pytest.mark.apart
def test_lanes_in_each_process() -> None:
    task, asked = little.task(), jobs(["adam", "sgd"], seeds=3)
    with Processes(workers=1, inner=Lanes(4), batch=4) as runner:
        assert numbers(runner.run(task, asked)) == numbers(Lanes(4).run(task, asked))


class Deadly(torch.optim.SGD):
    """Its process dies at learning rate 1; at 2, unless the file `spared` says that it has died before."""

    spared = ""

    def step(self, closure: Any = None) -> Any:
        rate = self.param_groups[0]["lr"]
        if rate == 1 or (rate == 2 and not os.path.exists(self.spared)):
            Path(self.spared).write_text("")
            os.kill(os.getpid(), signal.SIGSEGV if rate == 1 else signal.SIGKILL)
        return super().step(closure)


@pytest.mark.apart
def test_a_job_that_kills_its_worker_is_recorded_and_the_rest_goes_on(
    pool: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here(Deadly):
        spared = str(tmp_path / "spared")

    monkeypatch.setattr(pool, "batch", 8)
    asked = jobs([Here], rates=[1, 2, 0.1], seeds=1) + jobs(["adam"])
    found = {trial.id: trial for trial in pool.run(little.task(), asked)}
    assert len(found) == len(asked)
    killed, again, *rest = [found[each.id] for each in asked]
    assert killed.status == "crashed" and not killed.done
    assert killed.message == "its worker process was ended by SIGSEGV, 2 times"
    assert again.done and again.settings["lr"] == 2  # killed once, by something else perhaps: it got a second chance
    assert numbers(rest) == numbers(Alone().run(little.task(), asked[2:]))


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self) -> nn.Module:
        return little.network()


def test_a_task_that_cannot_leave_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    task = little.task(model=Locked())
    with pytest.raises(LabError, match="the task cannot be sent to another process: .*lock"):
        choose(task, [CATALOGUE["sgd"]], "processes")
    monkeypatch.setattr(choice, "cores", lambda: 2)
    monkeypatch.setattr(choice, "PROBING", 0.0)
    monkeypatch.setattr(choice, "START_UP", 0.0)
    monkeypatch.setattr(choice, "probe", lambda *_, **__: choice_finding(pays=False))
    runner, chosen = choose(task, [CATALOGUE["sgd"]])
    assert isinstance(runner, Alone) and chosen.on == "alone"
    assert "no worker processes: the task cannot be sent" in chosen.reason


def choice_finding(pays: bool) -> Any:
    from thalweg.lab.runners.lanes.probe import Finding

    return Finding(pays, 8 if pays else 1, 4.0 if pays else 1.0, "as the test wants it")


class Unloadable:
    def __reduce__(self) -> Any:
        return _fail, ()

    def __call__(self) -> nn.Module:
        return little.network()


def _fail() -> Any:
    raise RuntimeError("not on this machine")


@pytest.mark.apart
def test_a_task_that_a_worker_cannot_rebuild() -> None:
    with Processes(workers=1) as runner:
        with pytest.raises(LabError, match="a worker process cannot go on: RuntimeError: not on this machine"):
            runner.start(little.task(model=Unloadable()))
        assert runner._pool == []


class Sleepy(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        if self.param_groups[0]["lr"] == 0.5:
            time.sleep(60)
        return super().step(closure)


@pytest.mark.apart
def test_leaving_early_ends_the_workers_and_gives_what_has_ended(tmp_path: Path) -> None:
    runner = Processes(workers=2, batch=2)
    asked = [*jobs([Sleepy], rates=[0.1], seeds=2), job(Sleepy, 0.5)]
    trials = runner.run(little.task(), asked)
    first = next(trials)
    pids = [worker.process.pid for worker in runner._pool]
    deadline = time.time() + 60
    while runner._answers.qsize() < 3 and time.time() < deadline:  # a trial, what was said, the end of an order
        time.sleep(0.02)
    trials.close()  # type: ignore[attr-defined]
    assert ended(pids, within=1.0)
    assert {first.id, *(trial.id for trial in runner.unclaimed())} == {each.id for each in asked[:2]}
    assert runner.unclaimed() == []  # each is given once


SCRIPT = """
import sys, time
import little
from asking import job
from test_runners import Sleepy
from thalweg.lab.runners import Processes
runner = Processes(workers=1)
runner.start(little.task())
print(*[worker.process.pid for worker in runner._pool], flush=True)
list(runner.run(little.task(), [job(Sleepy, 0.5)]))
"""


@pytest.mark.apart
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_parent(how: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 1 and all(map(alive, pids))
    time.sleep(0.3)
    parent.send_signal(how)
    parent.communicate(timeout=30)
    assert ended(pids)


@pytest.mark.parametrize("name", ["gpu", "ray:", "", None, 3])
def test_an_unknown_runner_is_refused_before_anything_is_written(name: Any, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="on: got .* must be auto, alone, processes, lanes, ray, ray:ADDRESS, slurm"):
        compare(little.task(), ["sgd"], on=name, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_lanes_asked_for_where_they_cannot() -> None:
    class Stepped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> Any:
            return self.layer(x) if x.sum().item() > 0 else self.layer(-x)

    with pytest.raises(LabError, match="on: lanes cannot train this task: "):
        choose(little.task(model=Stepped), [CATALOGUE["sgd"]], "lanes")


def test_auto_takes_what_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    entries, task = [CATALOGUE["sgd"]], little.task()
    runner, chosen = choose(task, entries, runs=10)
    assert isinstance(runner, Alone) and "all together take about" in chosen.reason
    monkeypatch.setattr(choice, "probe", lambda *_, **__: choice_finding(pays=True))
    monkeypatch.setattr(choice, "cores", lambda: 1)
    runner, chosen = choose(task, entries, runs=10**6)
    assert isinstance(runner, Lanes) and (chosen.on, chosen.workers, chosen.lanes, chosen.gain) == ("lanes", 1, 8, 4.0)
    assert "there is one core" in str(chosen)


class Bursts(Runner):
    """Gives trials four at a time, each of a second; it breaks after so many."""

    name = "bursts"
    workers = 2

    def __init__(self, breaks_after: int = 10**9) -> None:
        self.breaks_after = breaks_after

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        from dataclasses import replace

        for place, trial in enumerate(Alone().run(task, jobs)):
            if place == self.breaks_after:
                raise RuntimeError("the cluster is gone")
            yield replace(trial, seconds=1.0)

    def unclaimed(self) -> list[Trial]:
        return []


def test_the_time_left_does_not_jump_in_a_burst(tmp_path: Path) -> None:
    told: list[Progress] = []
    with Study(tmp_path, SPEC, {}) as study:
        campaign = Campaign(little.task(), 3, study, Bursts(), 8, told.append)
        campaign.run([campaign.job(CATALOGUE["sgd"], {"lr": 0.1}, seed) for seed in range(8)])
    assert [now.seconds_left for now in told] == [None, 3.5, 3.0, 2.5, 2.0, 1.5, 1.0, 0.5, 0.0]


def test_what_ended_before_a_runner_breaks_is_kept(tmp_path: Path) -> None:
    with Study(tmp_path, SPEC, {}) as study:
        campaign = Campaign(little.task(), 3, study, Bursts(breaks_after=2), 8)
        with pytest.raises(RuntimeError, match="the cluster is gone"):
            campaign.run([campaign.job(CATALOGUE["sgd"], {"lr": 0.1}, seed) for seed in range(8)])
    assert (tmp_path / "trials.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.apart
def test_a_study_keeps_its_runner_and_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 1)
    out = tmp_path / "s"
    first = compare(little.task(), ["sgd"], on="processes", out=out, trials=2, finalist_seeds=1)
    kept = json.loads((out / "versions.json").read_text())
    assert kept["runner"]["on"] == "processes" and kept["runner"]["gain"] > 0 and kept["threads"]["threads"] == 1
    assert any(note.startswith(f"Run by {Choice(**kept['runner'])}") for note in first.notes)
    told: list[Progress] = []
    compare(little.task(), ["sgd"], out=out, trials=2, finalist_seeds=2, progress=told.append)
    assert told[0].how == str(Choice(**kept["runner"]))  # the same again, without another measurement
    found = compare(little.task(), ["sgd"], on="alone", out=out, trials=2, finalist_seeds=3)
    again = json.loads((out / "versions.json").read_text())
    assert again["runner"] == kept["runner"] and [each["on"] for each in again["also_run_by"]] == ["alone"]
    assert "Some were run by one run at a time (as asked)." in found.notes
    alone = compare(little.task(), ["sgd"], on="alone", out=tmp_path / "alone", trials=2, finalist_seeds=3)
    assert numbers(found.trials) == numbers(alone.trials)


@pytest.mark.apart
def test_every_entry_travels() -> None:
    import pickle

    from thalweg.lab.runners.processes.pickling import pack

    for entry in CATALOGUE.values():
        assert pickle.loads(pack(entry, "an entry")) is entry
    changed = Entry.of("adam(eps=1e-3)")
    there = pickle.loads(pack(changed, "an entry"))
    assert (there.name, there.optimizer, there.settings) == (changed.name, changed.optimizer, changed.settings)
