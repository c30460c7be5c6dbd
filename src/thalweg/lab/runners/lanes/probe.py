"""Whether a task's runs can ride side by side, whether that is right, and whether it pays: by trying."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.keyed import Keyed
from thalweg.lab.random.streams import Stream
from thalweg.lab.runners.lanes.memory import available, bytes_of_a_lane
from thalweg.lab.runners.lanes.refusal import in_words
from thalweg.lab.runners.lanes.stacked_runs import StackedRuns
from thalweg.lab.task.data import Rows, Source
from thalweg.lab.task.task import Task
from thalweg.lab.training import loop as training
from thalweg.lab.training.batches import rounds
from thalweg.lab.training.failure import out_of_memory
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Status, Trial
from thalweg.optimizers.optimizer import Optimizer

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

STEPS = 20  # of the self-test
FEW = 8  # lanes, which are tried first
ALONE = 4  # optimizers whose steps are timed one at a time
MOST = 128  # lanes: beyond, a step's memory leaves the caches
GROWTH = 1.1  # more lanes are tried while runs a second grow by this
HOPELESS = 1.3  # where a few lanes are slower by this, more will not help
WORTH_IT = 1.2  # less gain than this is not worth the difference
ROWS = 64  # of an evaluation that is only tried
SAME = 1e-5  # how far apart the losses of a lane and of a lone run may be, relative


@dataclass(frozen=True)
class Finding:
    """What the probe found. `gain`: runs a second against one at a time; `lanes` is 1 where they cannot ride."""

    pays: bool
    lanes: int
    gain: float
    reason: str


class Few:
    """The first rows of a source: enough to see whether an evaluation works."""

    length = 1

    def __init__(self, source: Source) -> None:
        self.source, self.rows = source, source.rows

    def batches(self, seed: int | None) -> Iterator[Any]:
        for batch in islice(self.source.batches(seed), 1):
            yield tuple(part[:ROWS] for part in batch) if isinstance(self.source, Rows) else batch

    def fingerprint(self) -> str:
        return self.source.fingerprint()


WAITS = 8.0  # times its own work: on a busy machine a step that never waits takes a few times as long


def probe(task: Task, entries: Sequence[Entry], seconds: float = 1.5, at_once: int = MOST) -> Finding:
    """Try a few steps side by side and one at a time. It takes about as long as `seconds`, or a few slow steps.

    Args:
        entries: the optimizers that will be trained.
        at_once: how many runs there will be to go side by side, at most.
    """
    try:
        with preserving_process(task.device):
            if reason := test(task, entries, seconds / 2):
                return Finding(False, 1, 1.0, reason)
            return _pace(task, entries, seconds / 2, at_once)
    except Exception as error:  # the user's model may raise anything: it will again, and be told, when it is trained
        return Finding(False, 1, 1.0, in_words(error))


def test(task: Task, entries: Sequence[Entry], seconds: float = math.inf) -> str | None:
    """Why lanes would not give what lone runs give; None where they do, in the first steps."""
    clock = time.perf_counter()
    first = run_trial(_short(task, 1), _jobs(entries[:1], 1)[0])
    if first.status is Status.CRASHED:
        return f"one run alone does not work: {first.message}"
    took = time.perf_counter() - clock
    steps = max(2, min(STEPS, int(seconds / (4 * took + 1e-9))))
    short = _short(task, steps)
    # Our own optimizers are proven to ride; one of them shows that the model can. Any other has to show it.
    tried = [*[e for e in entries if _ours(e)][:1], *[e for e in entries if not _ours(e)]]
    jobs = _jobs(tried, 2)
    stacked = StackedRuns(short, jobs)
    found = {trial.id: trial for trial in stacked.run()}
    for job in jobs:
        if job.id in stacked.alone:
            continue
        if not _same(found[job.id], run_trial(short, job)):
            return f"in lanes {job.entry.name} does not give what it gives alone"
        if time.perf_counter() - clock > 4 * seconds:
            break
    return None if len(stacked.alone) < len(jobs) else next(iter(stacked.alone.values()))


def _pace(task: Task, entries: Sequence[Entry], seconds: float, at_once: int) -> Finding:
    """Take more lanes as long as that is quicker."""
    riders = [e for e in entries if _ours(e)] or entries[:1]
    alone = fmean(_seconds_alone(task, rider, 8) for rider in riders[:ALONE])
    room = int(min(MOST, available(task.device) / 4 / bytes_of_a_lane(task)))
    tried = {1: alone}
    for count in _counts(at_once):
        steps = max(3, min(10, int(seconds / 3 / (alone * count))))
        if count > room or (count > FEW and alone * count * steps > 2 * seconds):
            break
        try:
            tried[count] = _seconds_in_lanes(task, riders, count, steps)
        except Exception as error:
            if out_of_memory(error):
                break
            raise
        before = [each for lanes, each in tried.items() if 1 < lanes < count]
        if tried[count] * GROWTH > min(before) if before else tried[count] > HOPELESS * alone:
            break
    return _verdict(tried)


def _counts(at_once: int) -> list[int]:
    """Lanes to try: as many as there may be, and a few numbers well below.

    >>> _counts(128), _counts(40), _counts(8)
    ([8, 32, 128], [8, 40], [8])
    """
    most = min(max(at_once, FEW), MOST)
    return [count for count in (FEW, 32) if 1.5 * count < most] + [most]


def _verdict(tried: Mapping[int, float]) -> Finding:
    """What follows from the seconds of a run's step with so many lanes."""
    alone, side_by_side = tried[1], {lanes: each for lanes, each in tried.items() if lanes > 1}
    if not side_by_side:
        return Finding(False, 1, 1.0, "there is no memory for several at once")
    lanes = min(side_by_side, key=side_by_side.__getitem__)
    gain = round(alone / tried[lanes], 2)
    times = f"a step takes {1e3 * alone:.3g} ms alone, {1e3 * tried[lanes]:.3g} ms as one of {lanes}"
    if gain < WORTH_IT:
        return Finding(False, 1, gain, f"side by side is not quicker: {times}")
    return Finding(True, lanes, gain, times)


def _seconds_alone(task: Task, entry: Entry, steps: int) -> float:
    """Of one step of a lone run."""
    model = task.build(0).train()
    optimizer = entry.build(model)
    keyed, times = Keyed(Stream(0)), []
    for place, batch in enumerate(next(rounds(_short(task, steps + 2), 0, 1))):
        clock = _clock(task)
        training.step(task, model, optimizer, batch, keyed.at(place))
        times.append(_since(task, clock))
    return _least(times)


def _seconds_in_lanes(task: Task, entries: Sequence[Entry], lanes: int, steps: int) -> float:
    """Of one step of one lane, where the optimizers take turns as in a study: each steps its lanes by itself."""
    some = [job for job, _ in zip(cycle(_jobs(entries, 1)), range(lanes), strict=False)]
    jobs = [
        replace(job, id=str(place), setting=replace(job.setting, seed=place // len(entries) % 2))
        for place, job in enumerate(some)
    ]
    stacked = StackedRuns(_short(task, steps + 2), jobs)
    times = []
    for batches in next(iter(stacked.batches)):
        clock = _clock(task)
        list(stacked.step(batches))
        times.append(_since(task, clock))
    return _least(times) / lanes


def _clock(task: Task) -> tuple[float, float]:
    """Seconds on the wall, and of this thread's work where it does all of it."""
    one = torch.device(task.device).type == "cpu" and torch.get_num_threads() == 1
    wall = time.perf_counter()
    return wall, time.thread_time() if one else wall


def _since(task: Task, before: tuple[float, float]) -> float:
    """The thread's own seconds, so that others on the machine do not disturb; the wall's where the step itself waits,
    for a network or a disk: lanes wait one after the other."""
    wall, own = (now - then for now, then in zip(_clock(task), before, strict=True))
    return wall if wall > WAITS * own else own


def _least(times: Sequence[float]) -> float:
    """The quickest, after the first two, which pay for what is made once."""
    return min(times[2:] or times)


def _short(task: Task, steps: int) -> Task:
    """The same task for a few steps, judged on a batch."""
    short = task.with_steps(steps)
    sources = {name: source if name == "train" else Few(source) for name, source in task.sources.items()}
    short.__dict__["sources"] = sources
    return short


def _jobs(entries: Sequence[Entry], seeds: int) -> list[Job]:
    return [
        Job(f"{place}/{seed}", "search", 0, entry, Configuration(entry.name, {}, seed), 1)
        for place, entry in enumerate(entries)
        for seed in range(seeds)
    ]


def _ours(entry: Entry) -> bool:
    return isinstance(entry.optimizer, type) and issubclass(entry.optimizer, Optimizer)


def _same(lane: Trial, alone: Trial) -> bool:
    if (lane.status, lane.steps) != (alone.status, alone.steps):
        return False
    names = ("train_loss", "validation_loss", "validation_metric")
    pairs = [pair for name in names for pair in zip(getattr(lane.curve, name), getattr(alone.curve, name), strict=True)]
    return all(math.isclose(a, b, rel_tol=SAME) or (a != a and b != b) for a, b in pairs)
