"""A Ray cluster: batches of jobs go out, trials come home as they end, and one writer here writes them down."""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thalweg.lab.cost.machine import cores
from thalweg.lab.errors import LabError, first_line
from thalweg.lab.isolation import adopt, surroundings
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.batches import batches
from thalweg.lab.runners.processes.lost_worker import after_limit, lost_trial
from thalweg.lab.runners.processes.pickling import pack
from thalweg.lab.runners.processes.worker import import_path
from thalweg.lab.runners.ray_address import PATIENCE, Pulse, Unanswered, patient, reach, try_joining
from thalweg.lab.runners.resources import Resources
from thalweg.lab.runners.runner import Runner
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.time_limit import overdue
from thalweg.lab.training.trial import Status, Trial

LIVES = 3  # a job whose worker was lost this often is given up: clusters lose workers that did no wrong
SECONDS = 3.0  # of training a batch should have: far more than it costs to ship
MOST = 64  # runs a batch: what a lost worker had begun is trained again
_held: dict[str, Task] = {}  # on a worker: the task it has unpacked last


class Ray(Runner):
    """Batches on an existing cluster, or on one that is started here and ended again.

    Args:
        address: of a cluster; None takes the one this process is connected to, the one that RAY_ADDRESS names, or
            starts one on this machine alone.
        inner: the runner on each worker; one run at a time if None.
        batch: runs a batch at most, for an inner runner that trains so many side by side; for one at a time, as
            many as make a few seconds.
        resources: what a run takes; a core if None.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        inner: Runner | None = None,
        batch: int | None = None,
        resources: Resources | None = None,
    ) -> None:
        self.resources = resources or Resources()
        self.address, self.inner, self.batch = address, inner or Alone(), batch
        self.workers = 1
        self.reasons: list[str] = []
        self._started = False
        self._pulse: Pulse | None = None
        self._folder: str | None = None

    def start(self) -> None:
        """Connect, or start a cluster.

        Raises:
            LabError: where Ray is not installed, or there is no cluster at the address.
        """
        ray = _ray()
        if not ray.is_initialized():
            self._connect(ray)
        elif self.address:
            self._check_same(ray)
        if self.resources.gpus_of_run > ray.cluster_resources().get("GPU", 0):
            there = ray.cluster_resources().get("GPU", 0)
            raise LabError(f"gpus_per_run: got {self.resources.gpus_of_run:g}; the Ray cluster has {there:g} GPUs")
        if self._pulse is None:
            self._pulse = Pulse(lambda: _slots(ray, self.resources))
        self.workers = self._pulse.slots

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[Trial]:
        if not jobs:
            return
        self.start()
        ray = _ray()
        parcel = pack(task, "the task")
        state = {**surroundings(), "threads": self.resources.cores_of_run}
        shared = (hashlib.sha256(parcel).hexdigest(), [ray.put(parcel)], state, import_path())
        inner = pack(self.inner, "the runner")
        remote = ray.remote(**self.resources.of_ray, max_retries=0)(train_batch)
        size = self.batch or 1
        todo = deque(batches(jobs, size, self.workers))
        going: dict[Any, dict[str, Job]] = {}
        clocks: dict[Any, float] = {}  # when each was last heard of
        deaths: Counter[str] = Counter()
        spent = ended = 0.0
        try:
            while todo or going:
                self.workers = self._answering()
                while todo and len(going) < self.workers:
                    batch = todo.popleft()
                    if self.batch is None:  # alone on each worker: as many as make a few seconds
                        while todo and len(batch) < _few(spent, ended, len(todo), self.workers):
                            batch = batch + todo.popleft()
                    answers = remote.remote(shared, inner, pack(batch, "an optimizer"))
                    going[answers] = {job.id: job for job in batch}
                    clocks[answers] = math.inf  # it may have to wait for a worker
                ready, _ = ray.wait(list(going), num_returns=1, timeout=1.0)
                for answers in [each for each in going if each not in ready and self._late(going[each], clocks[each])]:
                    ray.cancel(answers, force=True)
                    yield from self._after_limit(going.pop(answers), todo)
                for answers in ready:
                    try:
                        what, payload = ray.get(next(answers))
                    except StopIteration:
                        del going[answers]
                        continue
                    except OSError as error:  # a broken pipe: so Ray 2.40 tells that its head is gone
                        raise self._lost("is gone") from error
                    except ray.exceptions.RayError as error:
                        yield from _after_loss(going.pop(answers), error, todo, deaths)
                        continue
                    clocks[answers] = time.monotonic()
                    if what == "said":
                        self.reasons = list(dict.fromkeys([*self.reasons, *payload]))
                    elif what == "begun":
                        continue
                    elif what == "refused":
                        raise LabError(f"a Ray worker cannot go on: {payload}")
                    else:
                        going[answers].pop(payload.id)
                        spent, ended = spent + payload.seconds, ended + 1
                        yield payload
        finally:
            for answers in going:
                ray.cancel(answers, force=True)

    def _late(self, jobs: Mapping[str, Job], heard: float) -> bool:
        """Whether a worker's run should have ended itself, and has not; those of lanes end together."""
        limit = next((job.limit for job in jobs.values()), None)
        return overdue(limit, time.monotonic() - heard, 1 if self.batch is None else len(jobs))

    def _after_limit(self, jobs: dict[str, Job], todo: deque[list[Job]]) -> Iterator[Trial]:
        if self.batch is None and len(jobs) > 1:  # one after the other: it is the first that hangs
            first, *rest = jobs.values()
            todo.appendleft(rest)
            jobs = {first.id: first}
        yield from after_limit(jobs, todo)

    def _answering(self) -> int:
        """How many runs the cluster can take, while its head is there.

        Raises:
            LabError: where it has been silent for too long.
        """
        assert self._pulse is not None
        if self._pulse.silent > PATIENCE:
            raise self._lost(f"has not answered for {PATIENCE:g} seconds")
        return self._pulse.slots

    def _lost(self, how: str) -> LabError:
        return LabError(
            f"on: the head of the Ray cluster{self._where()} {how}; what has ended is kept, and the same command goes "
            "on from there",
            then=("to go on", {}),
        )

    def _check_same(self, ray: Any) -> None:
        """This process is connected already: to the cluster that was asked for, or the runs would go elsewhere."""
        assert self.address is not None
        mine = ray.get_runtime_context().gcs_address
        if self.address in (mine, "auto"):
            return
        try:
            reach(self.address)
        except Unanswered as error:
            raise LabError(f"on: no Ray cluster{self._where()}: {error}") from None
        raise LabError(f"on: this process is connected to the Ray cluster at {mine}, not{self._where()}; "
                       "call ray.shutdown() first, or leave the address out")  # fmt: skip

    def _where(self) -> str:
        address = self.address or os.environ.get("RAY_ADDRESS")
        return f" at {address}" if address else ""

    def close(self) -> None:
        """Leave a cluster that was there before; end one that was started here."""
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None
        if self._started:
            _ray().shutdown()
            self._started = False
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __del__(self) -> None:
        if self._started:
            self.close()

    def _connect(self, ray: Any) -> None:
        quiet = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
        address = self.address or os.environ.get("RAY_ADDRESS")
        try:
            if address:
                reach(address)
                patient()
                try_joining(address)
                ray.init(address=self.address, **quiet)
            else:
                # Its sockets' paths must be short. Loopback only: nobody else is to reach it.
                self._folder = tempfile.mkdtemp(prefix="ray", dir=_short_folder())
                ray.init(
                    address="local",
                    num_cpus=cores(),
                    num_gpus=self.resources.gpus,
                    include_dashboard=False,
                    _temp_dir=self._folder,
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
            self._started = True
        except Exception as error:  # ConnectionError, ValueError, RuntimeError: Ray has no one class for it
            self.close()
            raise LabError(f"on: no Ray cluster{self._where() or ' on this machine'}: {first_line(error)}") from None


def train_batch(shared: tuple[str, list[Any], dict[str, Any], list[str]], inner: bytes, jobs: bytes) -> Iterator[Any]:
    """On a worker: the trials of a batch, each as it ends; then why some could not be run as they should."""
    import sys

    import ray

    name, [parcel], state, path = shared
    try:
        sys.path += [entry for entry in path if entry not in sys.path]
        if name not in _held:
            _held.clear()
            _held[name] = pickle.loads(ray.get(parcel))
        adopt(state)
        runner: Runner = pickle.loads(inner)
        batch = pickle.loads(jobs)
    except Exception as error:
        yield "refused", f"{type(error).__name__}: {first_line(error)}"
        return
    yield "begun", None
    for trial in runner.run(_held[name], batch):
        yield "trial", trial
    yield "said", list(runner.reasons)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise LabError("on: Ray is not installed: pip install 'thalweg[ray]'") from None
    return ray


def _short_folder() -> str | None:
    """Where temporary files go, or a folder with a shorter name: 40 letters are left for it in the path of a socket."""
    return "/tmp" if len(tempfile.gettempdir()) > 28 and os.path.isdir("/tmp") else None


def _slots(ray: Any, resources: Resources) -> int:
    """How many runs the cluster can have at once, now."""
    there = ray.cluster_resources()
    most = there.get("CPU", 1) / resources.cores_of_run
    if resources.gpus_of_run:
        gpus = there.get("GPU", 0) if resources.gpus is None else min(there.get("GPU", 0), resources.gpus)
        most = min(most, gpus / resources.gpus_of_run)
    return max(1, int(most + 1e-9))


def _few(spent: float, ended: float, left: int, workers: int) -> int:
    """Runs for a batch of a few seconds, and no more than leave something for every worker."""
    if not ended:
        return 1
    return max(1, min(MOST, int(SECONDS * ended / max(spent, 1e-6)), left // (2 * workers)))


def _after_loss(
    jobs: dict[str, Job], error: Exception, todo: deque[list[Job]], deaths: Counter[str]
) -> Iterator[Trial]:
    """A lost worker's runs again, one by one: one that ends every worker is found and given up."""
    status = Status.OUT_OF_MEMORY if isinstance(error, _ray().exceptions.OutOfMemoryError) else Status.CRASHED
    for job in jobs.values():
        deaths[job.id] += 1
        if deaths[job.id] < LIVES:
            todo.appendleft([job])
        else:
            yield lost_trial(job, f"its Ray worker was lost {LIVES} times: {first_line(error)}", status=status)
