"""Which runner a study gets: what pays, by measurement; kept in the study, and told."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from thalweg.lab.arguments import several
from thalweg.lab.cost.machine import cores, measure_pace, measure_threads, torch_threads
from thalweg.lab.cost.price import Estimate
from thalweg.lab.errors import LabError, first_line
from thalweg.lab.isolation import preserving_process
from thalweg.lab.passwords import without_passwords
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.lanes.probe import FEW, MOST, probe, test
from thalweg.lab.runners.lanes.refusal import in_words, model_refusal
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.processes.runner import Processes
from thalweg.lab.runners.ray import Ray
from thalweg.lab.runners.ray_address import Unanswered, reach
from thalweg.lab.runners.resources import Resources
from thalweg.lab.runners.runner import Runner
from thalweg.lab.runners.slurm import Slurm
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.training.time_limit import TimedOut, time_limit
from thalweg.lookup import must_be

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.study.store import Study
    from thalweg.lab.task.task import Task

RUNNERS = ("auto", "alone", "processes", "lanes", "ray", "ray:ADDRESS", "slurm", "slurm:PARTITION", "slurm:local")
DEVICES = ("cpu", "gpu", "cuda", "mps", "xpu")
PROBING = 3.0  # seconds of training below which not even lanes are tried: that takes up to 2
START_UP = 1.5  # seconds until worker processes are measured: 1.3 s where importing torch takes 0.7 s
WORTH_IT = 1.1  # less gain than this is noise
BESIDES = 1.5  # a run takes so much longer than its forward and backward passes: the optimizer, evaluation


@dataclass(frozen=True)
class Choice:
    """How a study's runs are executed, and why. `gain` is runs a second against one at a time, None if unknown."""

    on: str
    workers: int = 1
    lanes: int = 1
    threads: int = 1  # of each run
    gain: float | None = None
    reason: str = ""

    def __str__(self) -> str:
        how = {
            "alone": "one run at a time",
            "processes": f"{self.workers} processes, one run at a time in each",
            "lanes": f"lanes, up to {self.lanes} runs side by side"
            + (f" in each of {self.workers} processes" if self.workers > 1 else ""),
            "slurm": f"a SLURM queue, up to {several(self.workers, 'run')} at once",
            "ray": f"a Ray cluster of {several(self.workers, 'worker')}"
            + (f", each with up to {self.lanes} runs side by side" if self.lanes > 1 else ""),
        }[self.on.partition(":")[0]]
        gain = f", {self.gain:.2g} x as fast as one at a time" if self.gain is not None else ""
        return f"{how}{gain}{f' ({self.reason})' if self.reason else ''}."


def choose(
    task: Task,
    entries: Sequence[Entry],
    on: str = "auto",
    *,
    runs: int = 100,
    at_once: int = MOST,
    threads: int | None = None,
    limit: float | None = None,
    resources: Resources | None = None,
) -> tuple[Runner, Choice]:
    """The runner for a task's runs.

    Args:
        on: "auto" picks the fastest runner: lanes, else one process a core, else one run at a time. Or a runner's name.
        runs: how many there will be, about: a few short ones do not pay for starting anything.
        at_once: how many of them there are to go side by side, at most.
        limit: seconds that one run may take. "auto" then takes processes: a run that hangs can be ended there.
        threads: torch threads of a run that is alone; measured if None.
        resources: GPUs and cores of a run: "auto" then takes processes, each with its own.

    Raises:
        LabError: for an unknown name, and for a runner asked for by name that cannot run this task, with the reason.
    """
    known(on)
    resources = resources or Resources()
    if resources.asked and on in ("auto", "processes"):
        return _with_resources(task, resources)
    if resources.asked and on in ("alone", "lanes"):
        raise LabError(f"gpus, gpus_per_run, cpus_per_run: {on!r} has the whole machine; must be on processes or Ray")
    if on.partition(":")[0] == "slurm":
        queue = _slurm(on, resources)
        queue.start()
        return queue, Choice(on, workers=queue.workers, threads=resources.cores_of_run)
    if isinstance(task, OwnLoop):
        return _own_loop(task, on, limit, resources)
    if on == "alone":
        return Alone(), Choice("alone", threads=_threads(task, threads), reason="as asked")
    if on == "processes":
        return _processes(task, threads, "as asked")
    if on == "lanes":
        return _lanes(task, entries, _threads(task, threads), at_once)
    if on != "auto":
        return _cluster(task, entries, on, at_once, resources)
    if limit is not None:
        with suppress(LabError):  # a task that cannot travel: its runs are asked to end, and most do
            return _processes(task, threads, "a run may take too long")
    return _what_pays(task, entries, runs, at_once, threads)


def known(on: Any) -> None:
    """Refuse what is not a runner's name."""
    named = isinstance(on, str) and on.partition(":")[0] in ("ray", "slurm") and not on.endswith(":")
    if on not in ("auto", "alone", "processes", "lanes") and not named:
        device = "; the device is the task's, Task(device='cuda'), and `on` is how its runs are spread"
        is_device = isinstance(on, str) and on.lower().partition(":")[0] in DEVICES
        raise LabError(f"on: got {on!r}{device if is_device else ''}{must_be(on, RUNNERS, ' or ')}")
    if on.startswith("ray:"):  # before anything is tried: that may take minutes
        try:
            reach(on.partition(":")[2])
        except Unanswered as error:
            raise LabError(f"on: no Ray cluster at {on.partition(':')[2]}: {error}") from None


def again(choice: Choice, resources: Resources | None = None) -> Runner:
    """The runner that a study has chosen before; how much of the machine a run takes is said anew each time."""
    if resources is not None and resources.asked and choice.on == "processes":
        resources.check_here()
        return Processes(slots=resources.slots(cores()), threads=resources.cores_of_run)
    if choice.on == "alone":
        return Alone()
    if choice.on == "lanes" and choice.workers == 1:
        return Lanes(choice.lanes)
    if choice.on in ("lanes", "processes"):
        return Processes(inner=Lanes(choice.lanes) if choice.lanes > 1 else None, batch=choice.lanes)
    if choice.on.partition(":")[0] == "slurm":
        return _slurm(choice.on, resources)
    return _on_ray(choice.on, choice.lanes, resources)


@contextmanager
def runner_of(
    study: Study, estimate: Estimate, on: str = "auto", runs: int = 100, at_once: int = MOST
) -> Iterator[tuple[Runner, Choice]]:
    """The study's runner: chosen once, then kept, with the threads of its runs. It is closed at the end.

    Another one asked for later runs the rest; the study tells.

    Args:
        estimate: of the study's task, optimizers and limit, with the choice that a budget was planned with.
    """
    known(on)
    task, limit, resources = estimate.task, estimate.limit, estimate.resources
    first, timed = study.versions.get("runner"), study.versions.get("threads")
    if first is None and timed is not None:  # a study of the time when there was one runner
        first = asdict(Choice("alone", threads=timed["threads"]))
    ours = first is not None and not first["on"].startswith("ray:")  # no folder may say which machine to send code to
    if first is not None and (without_passwords(on) == first["on"] or (on == "auto" and ours)):
        choice = Choice(**first)
        runner = _on_ray(on, choice.lanes, resources) if on.startswith("ray:") else again(choice, resources)
    else:
        timed = timed or estimate.threads
        try:
            with time_limit(limit):  # a few steps are tried here
                if estimate.choice is None or on.partition(":")[0] in ("ray", "slurm"):
                    runner, choice = choose(
                        task, estimate.entries, on, runs=runs, at_once=at_once, threads=timed["threads"], limit=limit,
                        resources=resources,
                    )  # fmt: skip
                else:  # a budget was planned with it
                    runner, choice = again(estimate.choice, resources), estimate.choice
        except TimedOut as error:
            raise LabError(f"on: trying out how to run it {error}; name a runner, such as processes") from None
        if first is None:
            if choice.threads != timed["threads"]:
                timed = {"threads": choice.threads, "why": f"each worker of {choice.on} has one"}
            study.settle("threads", lambda: timed)
            study.settle("runner", lambda: asdict(choice))
        else:
            others = [each for each in study.versions.get("also_run_by", []) if each["on"] != choice.on]
            study.keep("also_run_by", [*others, asdict(choice)])
    with runner, torch_threads(choice.threads) if task.device == "cpu" else nullcontext():
        yield runner, choice


def choice_notes(versions: Mapping[str, Any]) -> list[str]:
    """How a study's runs were executed, for its notes."""
    choices = [*filter(None, [versions.get("runner")]), *versions.get("also_run_by", [])]
    return [
        *(f"{'Run by' if place == 0 else 'Some were run by'} {Choice(**each)}" for place, each in enumerate(choices)),
        *(f"One at a time, as it could not go side by side: {reason}." for reason in versions.get("not_in_lanes", [])),
    ]


def _what_pays(
    task: Task, entries: Sequence[Entry], runs: int, at_once: int, threads: int | None
) -> tuple[Runner, Choice]:
    own = _threads(task, threads)
    alone = Choice("alone", threads=own)
    with torch_threads(own):
        seconds = BESIDES * runs * _steps(task) / measure_pace(task, seconds=0)
        seconds += runs * task.epochs * _start_of_a_pass(task)
    if seconds < PROBING:
        short = f"all together take about {max(1, round(seconds))} seconds"
        with preserving_process(task.device):
            refusal = model_refusal(task.build(0))
        return Alone(), replace(alone, reason="; ".join(filter(None, [short, refusal])))
    with torch_threads(own):
        finding = probe(task, entries, at_once=at_once)
    many = torch.device(task.device).type == "cpu" and cores() > 1
    left = seconds / finding.gain if finding.pays else seconds
    worker_reason = "" if many else "the device is shared by all processes" if cores() > 1 else "there is one core"
    if many and left * (1 - 1 / cores()) > 2 * START_UP:
        lanes = finding.lanes if finding.pays else 1
        try:
            runner, choice = _processes(task, own, finding.reason, lanes, finding.gain if finding.pays else 1.0)
        except LabError as error:
            worker_reason = f"no worker processes: {first_line(error)}"
        else:
            if (choice.gain or 0) > WORTH_IT * (finding.gain if finding.pays else 1.0):
                return runner, choice
            runner.close()
            worker_reason = f"{runner.workers} processes would be {choice.gain:.2g} x as fast"
    reason = "; ".join(filter(None, [finding.reason, worker_reason]))
    if finding.pays:
        return Lanes(finding.lanes), Choice("lanes", 1, finding.lanes, own, finding.gain, reason)
    return Alone(), replace(alone, reason=reason)


def _processes(
    task: Task, threads: int | None, reason: str, lanes: int = 1, gain: float = 1.0
) -> tuple[Processes, Choice]:
    """Worker processes, and what they gain over one run at a time on the threads it would have."""
    with torch_threads(_threads(task, threads)):
        pace = measure_pace(task)
    runner = Processes(inner=Lanes(lanes) if lanes > 1 else None, batch=lanes)
    # More than one a worker can only be noise: one at a time had the threads that suit it best.
    gain = round(gain * min(runner.measure(task) / pace, runner.workers), 2)
    on = "lanes" if lanes > 1 else "processes"
    return runner, Choice(on, workers=runner.workers, lanes=lanes, gain=gain, reason=reason)


def _with_resources(task: Task, resources: Resources) -> tuple[Runner, Choice]:
    """Worker processes, as many as have room at once, each with GPUs of its own."""
    resources.check_here()
    slots = resources.slots(cores())
    runner = Processes(slots=slots, threads=resources.cores_of_run)
    runner.start(task)
    each = resources.gpus_of_run
    reason = f"{each:g} GPU{'' if each == 1 else 's'} a run" if each else f"{resources.cores_of_run} cores a run"
    return runner, Choice("processes", workers=len(slots), threads=resources.cores_of_run, reason=reason)


def _own_loop(task: OwnLoop, on: str, limit: float | None, resources: Resources) -> tuple[Runner, Choice]:
    """The user's own loop has no lanes, and may use all cores by itself: several at once only where that is asked."""
    if on == "lanes":
        raise LabError("on: lanes need a thalweg.Task; a training loop of your own runs alone, on processes or on Ray")
    threads = torch.get_num_threads()
    if on == "processes" or (on == "auto" and limit is not None and not task.command):
        runner = Processes()
        runner.start(task)
        return runner, Choice("processes", workers=runner.workers, reason="as asked")
    if on in ("auto", "alone"):
        return Alone(), Choice("alone", threads=threads, reason="a loop of your own may use the whole machine")
    cluster = _on_ray(on, 1, resources)
    cluster.start()
    return cluster, Choice(without_passwords(on), cluster.workers)


def _lanes(task: Task, entries: Sequence[Entry], threads: int, at_once: int) -> tuple[Runner, Choice]:
    with torch_threads(threads):
        if refusal := _refusal(task, entries):
            raise LabError(f"on: lanes cannot train this task: {refusal}")
        finding = probe(task, entries, at_once=at_once)
    lanes = finding.lanes if finding.lanes > 1 else FEW
    return Lanes(lanes), Choice("lanes", 1, lanes, threads, finding.gain, f"as asked; {finding.reason}")


def _refusal(task: Task, entries: Sequence[Entry]) -> str | None:
    """Why lanes cannot train a task; None where they can, be it quicker or not."""
    try:
        with preserving_process(task.device):
            return test(task, entries, PROBING)
    except Exception as error:  # what vmap cannot take shows as torch's own errors
        return in_words(error)


def _cluster(
    task: Task, entries: Sequence[Entry], on: str, at_once: int, resources: Resources
) -> tuple[Runner, Choice]:
    """A cluster's workers train side by side where that pays here."""
    if resources.asked:  # what is said of a run holds for one alone
        runner = _on_ray(on, 1, resources)
        runner.start()
        return runner, Choice(without_passwords(on), runner.workers, threads=resources.cores_of_run)
    finding = probe(task, entries, at_once=at_once)
    runner = _on_ray(on, finding.lanes if finding.pays else 1)
    runner.start()
    lanes = finding.lanes if finding.pays else 1
    return runner, Choice(without_passwords(on), runner.workers, lanes, reason=finding.reason)


def _on_ray(on: str, lanes: int, resources: Resources | None = None) -> Ray:
    address, inner = on.partition(":")[2] or None, Lanes(lanes) if lanes > 1 else None
    return Ray(address, inner, lanes if lanes > 1 else None, resources)


def _slurm(on: str, resources: Resources | None) -> Slurm:
    where = on.partition(":")[2]
    return Slurm(Path.cwd() / "slurm", where == "local", "" if where == "local" else where, resources)


def _threads(task: Task, threads: int | None) -> int:
    return threads or int(measure_threads(task)["threads"])


def _start_of_a_pass(task: Task) -> float:
    """Seconds until a pass over the data has its first batch: a loader starts its workers each time."""
    start = time.perf_counter()
    with preserving_process(task.device):
        for part in ("train", "validation"):
            next(iter(task.sources[part].batches(0 if part == "train" else None)), None)
    return time.perf_counter() - start


def _steps(task: Task) -> float:
    """The steps of one run, about."""
    rows = task.sources["train"].rows
    steps = getattr(task, "steps", None)
    if steps:
        return float(steps)
    return task.epochs * (rows / task.batch_size if rows else 1000.0)
