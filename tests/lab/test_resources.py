"""What a run takes: GPUs of its own on processes and in SLURM's local executor, cores, and what is refused."""

from __future__ import annotations

import time

import pytest
import torch
from asking import jobs
from gpus import telling

from thalweg.lab.errors import LabError
from thalweg.lab.runners import Processes, choose
from thalweg.lab.runners.choice import Choice, again, known
from thalweg.lab.runners.resources import VISIBLE, Resources
from thalweg.lab.runners.slurm import Slurm
from thalweg.lab.task.own_loop import OwnLoop


@pytest.fixture(autouse=True)
def no_devices(monkeypatch):
    monkeypatch.delenv(VISIBLE, raising=False)


@pytest.mark.parametrize(
    ("asked", "cores", "slots"),
    [
        ({}, 3, [None] * 3),
        ({"cpus_per_run": 2}, 5, [None] * 2),
        ({"cpus_per_run": 8}, 2, [None]),
        ({"gpus": 4, "gpus_per_run": 1}, 2, ["0", "1", "2", "3"]),
        ({"gpus": 4}, 2, ["0", "1", "2", "3"]),
        ({"gpus": 5, "gpus_per_run": 2}, 2, ["0,1", "2,3"]),
        ({"gpus": 1, "gpus_per_run": 0.5}, 8, ["0", "0"]),
        ({"gpus": 4, "gpus_per_run": 1, "cpus_per_run": 2}, 4, ["0", "1"]),
    ],
)
def test_as_many_at_once_as_have_room(asked, cores, slots):
    assert [slot.get(VISIBLE) for slot in Resources(**asked).slots(cores)] == slots


def test_only_visible_devices_are_given_out(monkeypatch):
    monkeypatch.setenv(VISIBLE, "3,5,GPU-7")
    assert [slot[VISIBLE] for slot in Resources(gpus_per_run=1).slots(8)] == ["3", "5", "GPU-7"]
    assert [slot[VISIBLE] for slot in Resources(gpus=2, gpus_per_run=1).slots(8)] == ["3", "5"]
    with pytest.raises(LabError, match="gpus: got 4; 3 are visible here"):
        Resources(gpus=4, gpus_per_run=1).slots(8)
    with pytest.raises(LabError, match="gpus_per_run: got 4; 3 are visible here"):
        Resources(gpus_per_run=4).slots(8)


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"gpus": 0}, "gpus: got 0"), ({"gpus_per_run": 1.5}, "gpus_per_run: got 1.5"),
     ({"gpus_per_run": 0}, "gpus_per_run: got 0"), ({"cpus_per_run": 0}, "cpus_per_run: got 0"),
     ({"gpus": True}, "gpus: got True")],
)  # fmt: skip
def test_what_is_refused(asked, said):
    with pytest.raises(LabError, match=said):
        Resources(**asked)


@pytest.mark.apart
def test_four_runs_at_once_each_with_a_gpu_of_its_own(tmp_path):
    slots = Resources(gpus=4, gpus_per_run=1).slots(2)
    with Processes(slots=slots) as runner:
        trials = list(runner.run(telling(tmp_path, 4), jobs(["sgd"], rates=[0.1, 0.2, 0.3, 0.4], seeds=1)))
    assert [trial.metric for trial in trials] == [1.0] * 4  # all four were there together
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["0", "1", "2", "3"]


@pytest.mark.apart
def test_a_worker_that_is_begun_anew_takes_the_free_gpu(tmp_path):
    def dies(run):
        import os
        import signal

        mine = tmp_path / f"{run.settings['lr']}-{time.time()}"
        mine.write_text(os.environ[VISIBLE])
        if run.settings["lr"] == 0.1 and len(list(tmp_path.glob("0.1-*"))) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return 1.0

    with Processes(slots=Resources(gpus=2).slots(2)) as runner:
        trials = list(runner.run(OwnLoop.of(dies, direction="max"), jobs(["sgd"], rates=[0.1, 0.2, 0.3], seeds=1)))
        assert sorted(worker.slot for worker in runner._pool) == [0, 1]
    assert all(trial.done for trial in trials)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"0", "1"}


@pytest.mark.apart
def test_slurms_local_executor_does_the_same(tmp_path):
    pytest.importorskip("submitit")
    folder = tmp_path / "seen"
    folder.mkdir()
    runner = Slurm(tmp_path / "slurm", local=True, resources=Resources(gpus=4, gpus_per_run=1))
    trials = list(runner.run(telling(folder, 4), jobs(["sgd"], rates=[0.1, 0.2, 0.3, 0.4], seeds=1)))
    assert [trial.metric for trial in trials] == [1.0] * 4
    assert sorted(path.read_text() for path in folder.iterdir()) == ["0", "1", "2", "3"]


def test_slurm_where_there_is_none(tmp_path):
    pytest.importorskip("submitit")
    with pytest.raises(LabError, match="no SLURM here"):
        Slurm(tmp_path).start()
    known("slurm:gpu-partition")
    with pytest.raises(LabError, match="must be auto"):
        known("slurm:")
    assert str(Choice("slurm", workers=4)) == "a SLURM queue, up to 4 runs at once."


@pytest.mark.apart
def test_cores_of_a_run_are_its_threads(tmp_path):
    def threads(run):
        return float(torch.get_num_threads())

    with Processes(slots=[{}], threads=2) as runner:
        [trial] = runner.run(OwnLoop.of(threads, direction="max"), jobs(["sgd"], rates=[0.1], seeds=1))
    assert trial.metric == 2.0


def test_alone_has_the_whole_machine(tmp_path):
    with pytest.raises(LabError, match="'alone' has the whole machine"):
        choose(OwnLoop.of(lambda run: 1.0, direction="max"), [], "alone", resources=Resources(gpus=1))


@pytest.mark.parametrize("on", ["auto", "processes"])
def test_more_gpus_than_this_machine_has_are_refused_unless_they_are_elsewhere(on, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(
        LabError, match="gpus: got 4; this machine has none: leave it out, or .* --on ray or --on slurm"
    ):
        choose(OwnLoop.of(lambda run: 1.0, direction="max"), [], on, resources=Resources(gpus=4))
    with pytest.raises(LabError, match="gpus: got 4; this machine has none"):
        again(Choice("processes", workers=2), Resources(gpus=4))
    assert len(Resources(gpus=4).slots(2)) == 4
