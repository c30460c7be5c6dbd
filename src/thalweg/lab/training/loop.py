"""One run from start to end, alone: what every trial goes through, and what runs side by side must agree with."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.keyed import Keyed
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.random.streams import Stream
from thalweg.lab.task.check import check_loss
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.precision import scaler_of
from thalweg.lab.training.batches import Several, rounds
from thalweg.lab.training.clipping import clip
from thalweg.lab.training.decay import penalty
from thalweg.lab.training.run import Run
from thalweg.lab.training.time_limit import TimedOut, time_limit

if TYPE_CHECKING:
    from thalweg.lab.recording.path import Trajectory
    from thalweg.lab.task.task import Task
    from thalweg.lab.training.job import Job
    from thalweg.lab.training.trial import Trial


def run_trial(task: Task, job: Job, drive: Callable[[Run], None] | None = None) -> Trial:
    """Train once. Whatever goes wrong in it is written down, not raised; the caller's random state stays."""
    run, clock = Run(job.adapt(task), job), time.perf_counter()
    with preserving_process(task.device):
        try:
            run.attempt(_within_limit, run, drive or train)
        except TimedOut as error:
            run.fail(error)
    run.seconds = time.perf_counter() - clock
    return run.trial()


def _within_limit(run: Run, drive: Callable[[Run], None]) -> None:
    with time_limit(run.job.limit):
        drive(run)


def train(run: Run, trajectory: Trajectory | None = None) -> None:
    """From the seed to the end, alone. What is in the curve stays when something is raised."""
    task, job = run.task, run.job
    model = task.build(run.seed)
    model.train()
    run.start(model)
    assert run.optimizer is not None
    # What `keyed` does not know draws from torch's generator.
    seed_everything(noise := derive(run.seed, "noise"), task.device)
    keyed = Keyed(Stream(noise))
    steps = 0
    if trajectory is not None:
        trajectory.see(0, model, run.optimizer)
    for index, batches in enumerate(rounds(task, run.seed, job.epochs)):
        for batch in batches:
            run.see(step(task, model, run.optimizer, batch, keyed.at(steps)))
            steps += 1
            if trajectory is not None:
                trajectory.see(steps, model, run.optimizer)
        run.switch("eval")
        with keyed.at(evaluation_step(index)):
            loss, metric = evaluate(task, model, task.sources["validation"])
        if run.close_epoch(steps, loss, metric):
            run.best = copy.deepcopy(model.state_dict())
        run.switch("train")
        run.after_epoch()
        if run.stopping.over:
            break
    if trajectory is not None:
        trajectory.see(steps, model, run.optimizer, last=True)
    run.finish()
    if not run.final:
        return
    run.switch("eval")
    if run.best is not None:
        model.load_state_dict(run.best)
    with keyed.at(evaluation_step(None)):
        run.see_test(*evaluate(task, model, task.sources["test"]))


def evaluation_step(place: int | None) -> int:
    """What stands for the step in the random numbers of an evaluation: its place among them, None for the test."""
    return -1 if place is None else -2 - place


def step(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, keyed: Keyed) -> float:
    """One step by a closure, which every optimizer takes and some (L-BFGS) need; the loss before the step.

    The loss that is reported, and watched, is without the task's `l2` penalty; the one that is minimised is with it.
    """
    first: list[float] = []
    parts = batch if isinstance(batch, Several) else (batch,)
    scaler = scaler_of(task, optimizer)

    def closure() -> float:
        optimizer.zero_grad()
        losses: list[float] = []
        whole: Tensor | float = 0.0
        for index, part in enumerate(parts):
            with keyed if index else keyed.again():  # a closure may be called several times
                loss = task.compute_loss(model, part)
            if not first:
                check_loss(loss, finite=False)
                losses.append(float(loss.detach()))
            if task.l2:
                loss = loss + penalty(task, model)
            if len(parts) > 1:
                loss = loss / len(parts)
            backward(loss if scaler is None else scaler.scale(loss), optimizer)
            whole = loss if len(parts) == 1 else whole + loss.detach()
        if not first:
            first.append(fmean(losses))
        if scaler is not None:
            scaler.unscale_(optimizer)
        if task.clip_norm is not None:
            clip(model.parameters(), task.clip_norm)
        return whole  # type: ignore[return-value]

    if scaler is None:
        optimizer.step(closure)
    else:  # which takes no closure: an optimizer that needs one says so
        closure()
        scaler.step(optimizer)
        scaler.update()
    return first[0]


def backward(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """The gradients; with their own graph for who needs the curvature."""
    if not getattr(optimizer, "second_order", False):
        loss.backward()  # type: ignore[no-untyped-call]
        return
    with warnings.catch_warnings():  # of a cycle that the next zero_grad() breaks
        warnings.filterwarnings("ignore", "Using backward\\(\\) with create_graph", UserWarning)
        loss.backward(create_graph=True)  # type: ignore[no-untyped-call]
