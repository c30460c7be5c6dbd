"""SLURM, by submitit: each run a job of the queue, or by its local executor a process here; one writer here."""

from __future__ import annotations

import pickle
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thalweg.lab.cost.machine import cores
from thalweg.lab.errors import LabError, first_line
from thalweg.lab.isolation import adopt, surroundings
from thalweg.lab.own_loop.trial import trial_of
from thalweg.lab.runners.processes.lost_worker import lost_trial
from thalweg.lab.runners.processes.pickling import pack
from thalweg.lab.runners.processes.worker import import_path
from thalweg.lab.runners.resources import VISIBLE, Resources
from thalweg.lab.runners.runner import Runner
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Status, Trial

LIVES = 3  # a run whose job of the queue was lost this often is given up
LOOK = 0.2  # seconds between looks
QUEUED = 64  # runs in the queue at once, where nobody says how many GPUs or nodes there are
MINUTES = 24 * 60  # a run's limit in the queue, where the study has none


class Slurm(Runner):
    """Runs as jobs of a SLURM queue.

    Args:
        folder: for submitit's logs, on a file system that all nodes see.
        local: on this machine, by submitit's local executor.
        partition: the queue's partition; its default if "".
        resources: GPUs and cores of a run.
    """

    name = "slurm"

    def __init__(
        self, folder: Path, local: bool = False, partition: str = "", resources: Resources | None = None
    ) -> None:
        self.folder, self.local, self.partition = folder, local, partition
        self.resources = resources or Resources()
        self.reasons: list[str] = []
        self.slots: list[dict[str, str]] = []
        self.workers = QUEUED

    def start(self) -> None:
        """Find submitit and the queue.

        Raises:
            LabError: where either is missing.
        """
        submitit = _submitit()
        if self.local:
            self.slots = self.resources.slots(cores())
            self.workers = len(self.slots)
            return
        if submitit.SlurmExecutor.affinity() < 0:
            raise LabError("on: no SLURM here (srun is not found); slurm:local tries it on this machine")
        if self.resources.gpus is not None and self.resources.gpus_of_run:
            self.workers = max(1, int(self.resources.gpus / self.resources.gpus_of_run))

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        if not jobs:
            return
        self.start()
        parcel, todo, lost = pack(task, "the task"), deque(jobs), Counter[str]()
        free = list(range(self.workers))
        going: dict[Any, tuple[Job, int]] = {}
        try:
            while todo or going:
                while todo and free:
                    job, slot = todo.popleft(), free.pop(0)
                    going[self._submit(parcel, job, slot)] = job, slot
                ended = [queued for queued in going if queued.done()]
                if not ended:
                    time.sleep(LOOK)
                for queued in ended:
                    job, slot = going.pop(queued)
                    free.append(slot)
                    try:
                        yield queued.result()
                    except Exception as error:  # the queue's: what the run raises is in its trial
                        lost[job.id] += 1
                        if lost[job.id] < LIVES:
                            todo.append(job)
                        else:
                            yield lost_trial(job, _why(error), status=Status.INTERRUPTED)
        finally:
            for queued in going:
                queued.cancel()

    def _submit(self, parcel: bytes, job: Job, slot: int) -> Any:
        executor = _submitit().AutoExecutor(self.folder, cluster="local" if self.local else "slurm")
        minutes = MINUTES if job.limit is None else int(job.limit / 60) + 2
        asked: dict[str, Any] = {"timeout_min": minutes, "cpus_per_task": self.resources.cores_of_run}
        if self.resources.gpus_of_run:
            asked["gpus_per_node"] = max(1, int(self.resources.gpus_of_run))
        if self.partition:
            asked["slurm_partition"] = self.partition
        executor.update_parameters(name="thalweg", **asked)
        seen = self.slots[slot] if self.local else {}
        state = {**surroundings(), "threads": self.resources.cores_of_run}
        return executor.submit(train_one, parcel, pack(job, "an optimizer"), state, import_path(), seen)


def train_one(parcel: bytes, packed: bytes, state: dict[str, Any], path: list[str], seen: dict[str, str]) -> Trial:
    """On a node: one run."""
    import os
    import sys

    sys.path += [entry for entry in path if entry not in sys.path]
    if VISIBLE in seen:
        os.environ[VISIBLE] = seen[VISIBLE]  # the local executor gives each job the same ones
    adopt(state)
    return trial_of(pickle.loads(parcel), pickle.loads(packed))


def _submitit() -> Any:
    try:
        import submitit
    except ModuleNotFoundError:
        raise LabError("on: submitit is not installed: pip install 'thalweg[slurm]'") from None
    return submitit


def _why(error: Exception) -> str:
    return f"its job of the queue was lost {LIVES} times: {first_line(error)}"
