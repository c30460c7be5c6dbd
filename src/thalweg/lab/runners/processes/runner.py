"""One worker process a core, each with one torch thread; the workers stay for the whole campaign."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from thalweg.lab.cost.machine import cores
from thalweg.lab.errors import LabError
from thalweg.lab.isolation import surroundings
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.batches import batches
from thalweg.lab.runners.processes.lost_worker import after_limit, cause, lost_trial
from thalweg.lab.runners.processes.pickling import pack
from thalweg.lab.runners.processes.worker import START, environment, import_path
from thalweg.lab.runners.runner import Runner
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.time_limit import overdue
from thalweg.lab.training.trial import Status, Trial

LIVES = 2  # a job whose worker died this often is given up
LOOK = 1.0  # seconds between looks at workers that are silent


@dataclass(eq=False)
class Worker:
    """One process, what it was ordered to do, and the jobs it has not given back."""

    process: subprocess.Popen[bytes]
    orders: int = 0
    task: Task | None = None
    slot: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    broken_off: bool = False  # a run of its was, in the middle of something
    clock: float = 0.0  # when it got its jobs, or gave the last trial

    def send(self, what: str, payload: Any = None) -> None:
        """Give an order. A worker that has died says so by its silence, where answers are awaited."""
        assert self.process.stdin is not None
        self.orders += 1
        with contextlib.suppress(OSError):
            pickle.dump((what, payload), self.process.stdin)
            self.process.stdin.flush()

    def end(self) -> None:
        """Kill it, and what it started, at once."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()


class Processes(Runner):
    """Worker processes side by side.

    Args:
        workers: how many; one a core if None.
        slots: for each worker what its environment has beside ours, such as its GPUs; their number is that of workers.
        threads: of each.
        inner: the runner inside each worker; one run at a time if None.
        batch: how many jobs a worker gets at once at most, for an inner runner that trains several side by side.
    """

    name = "processes"

    def __init__(
        self,
        workers: int | None = None,
        inner: Runner | None = None,
        batch: int = 1,
        slots: Sequence[Mapping[str, str]] | None = None,
        threads: int = 1,
    ) -> None:
        self._pool: list[Worker] = []
        self.reasons: list[str] = []
        self.workers = len(slots) if slots else cores() if workers is None else workers
        self.slots, self.threads = slots, threads
        self.inner, self.batch = inner or Alone(), batch
        self._answers: queue.Queue[tuple[Worker, str, Any]] = queue.Queue()
        self._packed: tuple[Task, bytes] | None = None

    def start(self, task: Task) -> None:
        """Start the workers and send them the task: what cannot work shows now.

        Raises:
            LabError: for a task that no other process can rebuild.
        """
        self._ready(task)
        self._await_all()

    def measure(self, task: Task) -> float:
        """Steps a second of all workers together, while all are at work."""
        self.start(task)
        for worker in self._pool:
            worker.send("pace")
        return float(sum(self._await_all()))

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        todo = deque(batches(jobs, self.batch, self.workers))
        deaths: Counter[str] = Counter()
        try:
            while todo or any(worker.orders for worker in self._pool):
                if todo:
                    self._ready(task)
                for worker in self._pool:
                    if todo and not worker.orders:
                        self._give(worker, todo.popleft())
                worker, what, payload = self._next()
                if what == "found":
                    worker.jobs.pop(payload.id)
                    worker.broken_off |= payload.status is Status.TIMED_OUT
                    worker.clock = time.time()
                    yield payload
                elif what == "said":
                    self.reasons = list(dict.fromkeys([*self.reasons, *payload]))
                elif what == "gone":
                    yield from _after_death(worker, todo, deaths)
                elif what == "late":
                    yield from after_limit(worker.jobs, todo)
        finally:
            if any(worker.orders for worker in self._pool):
                self.close()

    def unclaimed(self) -> list[Trial]:
        found = []
        while not self._answers.empty():
            _, what, payload = self._answers.get()
            if what == "found":
                found.append(payload)
        return found

    def close(self) -> None:
        while self._pool:
            self._pool.pop().end()

    def __del__(self) -> None:
        self.close()

    def _ready(self, task: Task) -> None:
        """As many workers as there should be, each with the task sent to it."""
        if self._packed is None or self._packed[0] is not task:
            self._packed = task, pack(task, "the task")
        while len(self._pool) < self.workers:
            self._pool.append(self._spawn())
        for worker in self._pool:
            if worker.task is not task and not worker.jobs:
                worker.task = task
                worker.send("task", self._packed[1])

    def _spawn(self) -> Worker:
        inner = pack(self.inner, "the runner")
        slot = min(set(range(self.workers)) - {worker.slot for worker in self._pool}, default=0)
        # A session of its own: the terminal's Ctrl-C reaches the parent alone, and a kill reaches all it started.
        process = subprocess.Popen(
            [sys.executable, "-c", START],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(self.threads, self.slots[slot] if self.slots else None),
            start_new_session=True,
        )
        worker = Worker(process, slot=slot)
        threading.Thread(target=_relay, args=(worker, self._answers), daemon=True).start()
        assert process.stdin is not None
        pickle.dump(import_path(), process.stdin)
        worker.send("surroundings", {**surroundings(), "threads": self.threads})
        worker.send("inner", inner)
        return worker

    def _give(self, worker: Worker, jobs: list[Job]) -> None:
        worker.jobs = {job.id: job for job in jobs}
        worker.clock = time.time()
        worker.send("jobs", pack(jobs, "an optimizer"))

    def _next(self) -> tuple[Worker, str, Any]:
        """The next answer of a worker of the pool; "gone" is the last of a worker, and takes it out."""
        while True:
            try:
                worker, what, payload = self._answers.get(timeout=LOOK)
            except queue.Empty:  # what a dead worker has started may keep its pipe open
                if (slow := self._overdue()) is not None:
                    self._pool.remove(slow)
                    slow.end()
                    return slow, "late", None
                dead = [worker for worker in self._pool if worker.process.poll() is not None]
                if not dead:
                    continue
                worker, what, payload = dead[0], "gone", None
            if worker not in self._pool:
                continue
            if what == "end":
                worker.orders -= 1
                if worker.broken_off and not worker.orders:  # what was interrupted may be left half done
                    self._pool.remove(worker)
                    worker.end()
            elif what == "gone":
                self._pool.remove(worker)
                worker.end()
            elif what == "refused":
                raise LabError(f"a worker process cannot go on: {payload}")
            return worker, what, payload

    def _overdue(self) -> Worker | None:
        """A worker whose run should have ended itself, and has not."""
        now = time.time()
        for worker in self._pool:
            limit = next((job.limit for job in worker.jobs.values()), None)
            if overdue(limit, now - worker.clock, len(worker.jobs)):
                return worker
        return None

    def _await_all(self) -> list[Any]:
        found = []
        try:
            while any(worker.orders for worker in self._pool):
                worker, what, payload = self._next()
                if what == "found":
                    found.append(payload)
                elif what == "gone":
                    raise LabError(f"a worker process {cause(worker.process.returncode)} before it was ready")
        except BaseException:
            self.close()
            raise
        return found


def _after_death(worker: Worker, todo: deque[list[Job]], deaths: Counter[str]) -> Iterator[Trial]:
    """Its jobs again, one by one: if one of them ends its process, that one is found and given up."""
    reason = cause(worker.process.returncode)
    if not worker.clock:  # it never had a job
        raise LabError(f"a worker process {reason} before it was ready")
    for job in worker.jobs.values():
        deaths[job.id] += 1
        if deaths[job.id] < LIVES:
            todo.appendleft([job])
        else:
            yield lost_trial(job, f"its worker process {reason}, {LIVES} times", time.time() - worker.clock)


def _relay(worker: Worker, answers: queue.Queue[tuple[Worker, str, Any]]) -> None:
    """Pass on what a worker says, until it ends."""
    with contextlib.suppress(Exception), worker.process.stdout as pipe:  # type: ignore[union-attr]
        while True:
            what, payload = pickle.load(pipe)
            answers.put((worker, what, payload))
    answers.put((worker, "gone", None))
