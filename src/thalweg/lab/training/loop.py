"""One training from start to end: the loop that every trial goes through, and that lanes must agree with."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.lab.random.keyed import Keyed
from thalweg.lab.random.seeds import derive, seed_everything
from thalweg.lab.random.streams import Stream
from thalweg.lab.task.check import check_loss
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.length import evaluations
from thalweg.lab.task.schedule import Schedule
from thalweg.lab.task.task import Task
from thalweg.lab.training.batches import rounds
from thalweg.lab.training.clipping import clip
from thalweg.lab.training.decay import penalty, settings_of
from thalweg.lab.training.divergence import DivergenceMonitor, check_end
from thalweg.lab.training.early_stopping import EarlyStopping

if TYPE_CHECKING:
    from thalweg.lab.recording.path import Trajectory
    from thalweg.lab.training.job import Job
    from thalweg.lab.training.trial import Curve


@dataclass(frozen=True)
class Outcome:
    """What a training ends with, beside its curve."""

    test_loss: float | None = None
    test_metric: float | None = None
    best: int | None = None
    stopped: bool = False


def train(task: Task, job: Job, curve: Curve, way: Trajectory | None = None) -> Outcome:
    """Train and fill the curve as it goes: what is in it stays when something is raised. `way` keeps checkpoints."""
    setting = job.setting
    model = task.build(setting.seed)
    model.train()
    optimizer = job.entry.build(model.parameters(), **settings_of(task, job.entry, setting))
    schedule = Schedule(task, optimizer, job.epochs)
    patience = EarlyStopping(task.patience, task.larger_is_better)
    final, kept = job.phase == "final", None
    switch(optimizer, "train")
    # What `keyed` does not know draws from torch's generator.
    seed_everything(noise := derive(setting.seed, "noise"), task.device)
    keyed = Keyed(Stream(noise))
    watch, steps = DivergenceMonitor(), 0
    if way is not None:
        way.see(0, model, optimizer)
    for place, batches in enumerate(rounds(task, setting.seed, job.epochs)):
        losses = []
        for batch in batches:
            losses.append(step(task, model, optimizer, batch, keyed.at(steps)))
            watch.see(losses[-1])
            schedule.after_step()
            steps += 1
            if way is not None:
                way.see(steps, model, optimizer)
        switch(optimizer, "eval")
        with keyed.at(evaluation_step(place)):
            loss, metric = evaluate(task, model, task.sources["validation"])
        curve.add(steps, losses, loss, metric)
        if patience.see(metric) and final:
            kept = copy.deepcopy(model.state_dict())
        switch(optimizer, "train")
        schedule.after_epoch(metric)
        if patience.over:
            break
    if way is not None:
        way.see(steps, model, optimizer, last=True)
    counts = -1 if patience.best is None else patience.best
    check_end(curve.validation_loss[counts], curve.validation_metric[counts], task.metric_name)
    stopped = patience.over and len(curve.steps) < evaluations(task, job.epochs)
    if not final:
        return Outcome(best=patience.best, stopped=stopped)
    switch(optimizer, "eval")
    if kept is not None:
        model.load_state_dict(kept)
    with keyed.at(evaluation_step(None)):
        return Outcome(*evaluate(task, model, task.sources["test"]), patience.best, stopped)


def evaluation_step(place: int | None) -> int:
    """What stands for the step in the random numbers of an evaluation: its place among them, None for the test."""
    return -1 if place is None else -2 - place


def switch(optimizer: torch.optim.Optimizer, mode: str) -> None:
    """Some optimizers (Schedule-Free) have modes, as models have: while training, parameters are not yet the result."""
    getattr(optimizer, mode, lambda: None)()


def step(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any, keyed: Keyed) -> float:
    """One step by a closure, which every optimizer takes and some (L-BFGS) need; the loss before the step.

    The loss that is reported, and watched, is without the task's `l2` penalty; the one that is minimised is with it.
    """
    first: list[float] = []

    def closure() -> float:
        optimizer.zero_grad()
        with keyed.again():  # a closure may be called several times
            loss = task.compute_loss(model, batch)
        if not first:
            check_loss(loss, finite=False)
            first.append(float(loss.detach()))
        if task.l2:
            loss = loss + penalty(task, model)
        backward(loss, optimizer)
        if task.clip_norm is not None:
            clip(model.parameters(), task.clip_norm)
        return loss  # type: ignore[return-value]

    optimizer.step(closure)
    return first[0]


def backward(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """The gradients; with their own graph for who needs the curvature."""
    if not getattr(optimizer, "second_order", False):
        loss.backward()  # type: ignore[no-untyped-call]
        return
    with warnings.catch_warnings():  # of a cycle that the next zero_grad() breaks
        warnings.filterwarnings("ignore", "Using backward\\(\\) with create_graph", UserWarning)
        loss.backward(create_graph=True)  # type: ignore[no-untyped-call]
