"""What goes wrong on real machines: it is written down, the rest goes on, and nothing finished is lost."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import little
import pytest
import torch
from asking import SPEC, job, numbers
from torch import nn
from torch.utils.data import DataLoader, Dataset

from thalweg.catalogue import CATALOGUE
from thalweg.lab.errors import StudyError
from thalweg.lab.runners import Alone
from thalweg.lab.study import store as studies
from thalweg.lab.study.campaign import Campaign
from thalweg.lab.study.records import read_trials
from thalweg.lab.study.store import Study
from thalweg.lab.training.agreement import distance
from thalweg.lab.training.loop import run_trial
from thalweg.lab.verbs.compare import compare

SMALL = {"trials": 2, "finalist_seeds": 2, "on": "alone"}


class Absurd(nn.Module):
    """Asks for a thousand gigabytes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.empty(10**12, len(x)).mean()


def test_a_model_that_runs_out_of_memory_has_its_own_name_for_it(tmp_path: Path) -> None:
    hungry = torch.optim.SGD

    class Hungry(hungry):  # type: ignore[misc,valid-type]
        def step(self, closure: Any = None) -> Any:
            torch.empty(10**15)

    trial = run_trial(little.task(model=lambda: nn.Sequential(nn.Linear(2, 2), Absurd())), job("sgd", 0.1))
    assert trial.status == "out of memory" and "memory" in str(trial.message)
    result = compare(little.task(), [Hungry, "sgd"], out=tmp_path, **SMALL)
    assert result.rows[0].optimizer == "sgd" and {t.status for t in result.trials if "Hungry" in t.optimizer} == {
        "out of memory"
    }
    [note] = [note for note in result.notes if "ran out of memory: 4 of 4 runs" in note]
    assert note.startswith(result.rows[1].optimizer)


class SeventhFails:
    calls = 0

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(output, target)


def test_a_task_that_raises_in_trial_7(tmp_path: Path) -> None:
    built = {"models": 0}

    def model() -> nn.Module:
        built["models"] += 1
        if built["models"] == built.get("fails"):
            raise ValueError("no more of these today")
        return little.network()

    task = little.task(model=model)
    task.check()
    task.identity()
    with Study(tmp_path, SPEC, {}) as study:
        campaign = Campaign(task, 3, study, Alone(), 10)
        built["fails"] = built["models"] + 7
        trials = campaign.run([campaign.job(CATALOGUE["sgd"], {"lr": 0.1}, seed) for seed in range(10)])
    assert [t.status for t in trials] == ["done"] * 6 + ["crashed"] + ["done"] * 3
    assert trials[6].message == "ValueError: no more of these today"


def test_a_loss_that_is_nan_and_a_metric_that_raises_at_the_end(tmp_path: Path) -> None:
    seen = {"calls": 0}

    def late(output: torch.Tensor, target: torch.Tensor) -> float:
        seen["calls"] += 1
        if seen["calls"] % 3 == 0:
            raise ZeroDivisionError("no positive class")
        return 0.5

    trial = run_trial(little.task(metric=late, direction="max"), job("sgd", 0.1))
    assert (trial.status, trial.message, trial.steps) == ("crashed", "ZeroDivisionError: no positive class", 8)
    trial = run_trial(little.task(loss=lambda output, target: output.sum() * float("nan")), job("sgd", 0.1))
    assert (trial.status, trial.message) == ("diverged", "training loss is nan at step 1")


def test_user_code_that_wants_to_exit_ends_its_trial_alone() -> None:
    def leave(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        sys.exit("enough")

    assert run_trial(little.task(loss=leave), job("sgd", 0.1)).message == "SystemExit: enough"


class Dying(Dataset[Any]):
    """The process that reads its row 9 dies."""

    parent = os.getpid()

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        if index == 9 and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        candidates, labels = little.rows(64, 0)
        return candidates[index], labels[index]


def test_a_loaders_worker_that_dies() -> None:
    task = little.task(train=DataLoader(Dying(), 32, num_workers=1))
    trial = run_trial(task, job("sgd", 0.1))
    assert trial.status == "crashed" and "DataLoader worker" in str(trial.message)
    assert run_trial(little.task(), job("sgd", 0.1)).done


def test_a_full_disk_costs_the_training_that_did_not_fit_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A log on a disk that takes so many bytes more: it writes what fits, then nothing."""

        def __init__(self, log: Any, room: int) -> None:
            self.log, self.room = log, room

        def write(self, data: bytes) -> int:
            if self.room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.room -= (took := min(self.room, len(data)))
            self.log.write(data[:took])
            return took

        def __getattr__(self, name: str) -> Any:
            return getattr(self.log, name)

    with Study(tmp_path, SPEC, {}) as study:
        study._log = Full(study._log, 1500)  # type: ignore[assignment]
        campaign = Campaign(little.task(), 3, study, Alone(), 8)
        asked = [campaign.job(CATALOGUE["sgd"], {"lr": 0.1}, seed) for seed in range(8)]
        with pytest.raises(StudyError, match="out: cannot write to .*: No space left on device; every run written"):
            campaign.run(asked)
        assert (tmp_path / "trials.jsonl").read_bytes().endswith(b"}\n")  # half a line did not stay
    kept = read_trials(tmp_path / "trials.jsonl")
    assert 1 <= len(kept) < 8
    with Study(tmp_path, SPEC, {}) as study:
        campaign = Campaign(little.task(), 3, study, Alone(), 8)
        again = campaign.run(asked)
        assert campaign.trained == 8 - len(kept)
    assert numbers(again) == numbers(Alone().run(little.task(), asked))

    monkeypatch.setattr(studies.os, "fsync", lambda number: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(StudyError, match="I/O error"):
        studies.write_atomically(tmp_path / "table.csv", lambda: "x" * 10)
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "spec.json", "versions.json", "trials.jsonl"}


@pytest.mark.apart
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/full and limits of a file's size")
def test_a_limit_of_the_system_on_a_files_size(tmp_path: Path) -> None:
    """The same from the system itself: a write that is cut short, then refused."""
    script = f"""
import resource, signal, sys
sys.path[:0] = {sys.path!r}
import little
from thalweg.lab.verbs.compare import compare
from thalweg.lab.errors import StudyError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    compare(little.task(), ["sgd"], on="alone", out={str(tmp_path / "s")!r})
except StudyError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert "File too large; every run written before is kept" in done.stdout, done.stderr
    data = (tmp_path / "s" / "trials.jsonl").read_bytes()
    assert data.endswith(b"}\n") and 2000 < len(data) <= 3000


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="out: cannot write to /proc/thalweg: No such file or directory"):
        compare(little.task(), ["sgd"], out="/proc/thalweg", **SMALL)


def test_who_only_looks_sees_whole_trials_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    seen: list[int] = []

    with Study(tmp_path, SPEC, {}) as study:
        campaign = Campaign(little.task(), 3, study, Alone(), 5, lambda now: seen.append(len(read_trials(path))))
        campaign.run([campaign.job(CATALOGUE["sgd"], {"lr": 0.1}, seed) for seed in range(5)])
        before = path.read_bytes()
        path.write_bytes(before + b'{"id": "half')  # as a reader may find it in the middle of a write
        assert len(read_trials(path)) == 5 and path.read_bytes().endswith(b"half")  # looking mends nothing
    assert seen == [0, 1, 2, 3, 4, 5]


KILLED = """
import sys
sys.path[:0] = {path!r}
import little
from thalweg.lab.verbs.compare import compare
print(compare(little.task(), ["sgd", "adam"], on={on!r}, out={out!r}, trials=6))
"""


@pytest.mark.apart
@pytest.mark.parametrize("on", ["processes", "lanes"])
def test_killed_at_random_moments_and_resumed_it_ends_at_the_same_table(tmp_path: Path, on: str) -> None:
    script = KILLED.format(path=sys.path, on=on, out=str(tmp_path / "s"))
    log, finished = tmp_path / "s" / "trials.jsonl", b""
    for most in (1, 8):  # kill after so many trials, or somewhat later
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
        deadline = time.time() + 120
        while process.poll() is None and time.time() < deadline:
            if log.exists() and log.read_bytes().count(b"\n") >= most:
                break
            time.sleep(0.002)
        time.sleep(random.random() * 0.01)
        process.kill()
        process.wait()
        kept = log.read_bytes()
        whole = kept[: kept.rfind(b"\n") + 1]
        assert whole.startswith(finished)  # what was finished stays, to the byte
        finished = whole
    found = compare(little.task(), ["sgd", "adam"], out=tmp_path / "s", trials=6)
    assert log.read_bytes().startswith(finished)
    undisturbed = compare(little.task(), ["sgd", "adam"], on="alone", out=tmp_path / "whole", trials=6)
    there, here = ({trial.id: trial for trial in result.trials} for result in (found, undisturbed))
    assert len(found.trials) == len(there) == 2 * (6 + 5) and there.keys() == here.keys()
    assert all(distance(there[id], here[id]) <= (1e-5 if on == "lanes" else 0.0) for id in here)
    assert str(found) == str(undisturbed)
