"""One trial: one optimizer, one setting, one seed, trained from start to end and written down."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.lab.data import Source, count_rows, to_device
from thalweg.lab.errors import TaskError
from thalweg.lab.seeds import derive, random_state_kept, seed_everything
from thalweg.lab.task import Task, check_loss, inputs_and_target, takes_model

if TYPE_CHECKING:
    from thalweg.lab.job import Job

DIVERGED_FACTOR = 4.0  # a smoothed loss above 4 x its best has diverged
DIVERGED_FLOOR = 0.1  # the best counts as at least a tenth of the first: near zero a ratio says nothing
SMOOTHING = 0.9


@dataclass(frozen=True)
class Setting:
    """What identifies a trial, with the task: an optimizer, its settings and a seed; a batch size where it is tuned."""

    optimizer: str
    settings: Mapping[str, Any]
    seed: int
    batch_size: int | None = None

    def identity(self, task: str) -> str:
        """The trial's name in a study: a hash of (task, optimizer and settings, seed)."""
        parts = [task, self.optimizer, dict(self.settings), self.seed]
        if self.batch_size is not None:
            parts.append(self.batch_size)
        text = json.dumps(parts, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Curve:
    """A trial at the end of each epoch."""

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """A finished trial. `status` is "done", "diverged" or "crashed"; a final value of what failed is NaN."""

    id: str
    phase: str  # "search" or "final"
    index: int  # the setting's place in its optimizer's list of trials, 0 is the default setting
    optimizer: str
    settings: dict[str, Any]
    seed: int
    status: str
    message: str | None
    steps: int
    curve: Curve
    test_loss: float | None
    test_metric: float | None
    seconds: float
    started: float
    batch_size: int | None = None  # where it is not the task's own

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def metric(self) -> float:
        """The validation metric at the end of the schedule."""
        return self.curve.validation_metric[-1] if self.done else math.nan

    @property
    def loss(self) -> float:
        """The validation loss at the end of the schedule."""
        return self.curve.validation_loss[-1] if self.done else math.nan

    def steps_to(self, target: float, larger_is_better: bool) -> float:
        """Steps until the validation metric first reached the target at an epoch's end; inf for a miss."""
        for steps, value in zip(self.curve.steps, self.curve.validation_metric, strict=True):
            if self.done and (value >= target if larger_is_better else value <= target):
                return float(steps)
        return math.inf


class Diverged(Exception):
    """The run is over: its loss is not finite, or far above its best."""


class Watch:
    """Notices a run that diverges, from the loss of each step."""

    def __init__(self) -> None:
        self.smooth = self.weight = 0.0
        self.best = math.inf
        self.floor: float | None = None

    def see(self, loss: float) -> None:
        """Take in one step's loss.

        Raises:
            Diverged: with the reason in words.
        """
        if not math.isfinite(loss):
            raise Diverged(f"training loss is {loss}")
        self.smooth = SMOOTHING * self.smooth + (1 - SMOOTHING) * loss
        self.weight = SMOOTHING * self.weight + (1 - SMOOTHING)
        smooth = self.smooth / self.weight
        self.floor = DIVERGED_FLOOR * abs(loss) if self.floor is None else self.floor
        self.best = min(self.best, smooth)
        limit = DIVERGED_FACTOR * max(self.best, self.floor)
        if smooth > limit:
            raise Diverged(f"smoothed training loss {smooth:.4g} is above {limit:.4g}, {DIVERGED_FACTOR:g} x its best")


def run_trial(task: Task, job: Job) -> Trial:
    """Train once. Whatever goes wrong in it is written down, not raised; the caller's random state stays."""
    setting = job.setting
    curve = Curve()
    status, message = "done", None
    test: tuple[float | None, float | None] = (None, None)
    started, clock = time.time(), time.perf_counter()
    with random_state_kept(task.device):
        try:
            own = task if setting.batch_size is None else replace(task, batch_size=setting.batch_size)
            test = _train(own, job, curve)
        except Diverged as reason:
            status, message = "diverged", str(reason)
        except Exception as error:  # the user's model may raise anything: the other trials go on
            status, message = "crashed", f"{type(error).__name__}: {str(error).strip()}"[:500]
    return Trial(
        id=job.id,
        phase=job.phase,
        index=job.index,
        optimizer=setting.optimizer,
        settings=dict(setting.settings),
        seed=setting.seed,
        status=status,
        message=message,
        steps=curve.steps[-1] if curve.steps else 0,
        curve=curve,
        test_loss=test[0],
        test_metric=test[1],
        seconds=round(time.perf_counter() - clock, 4),
        started=round(started, 3),
        batch_size=setting.batch_size,
    )


def _train(task: Task, job: Job, curve: Curve) -> tuple[float | None, float | None]:
    setting = job.setting
    model = task.build(setting.seed)
    model.train()
    optimizer = job.entry.build(model.parameters(), **setting.settings)
    switch(optimizer, "train")
    seed_everything(derive(setting.seed, "noise"))  # dropout and augmentation
    watch, steps = Watch(), 0
    for epoch in range(job.epochs):
        losses = []
        for batch in task.sources["train"].batches(derive(setting.seed, "order", epoch)):
            losses.append(_step(task, model, optimizer, to_device(batch, task.device)))
            watch.see(losses[-1])
            steps += 1
        switch(optimizer, "eval")
        loss, metric = evaluate(task, model, task.sources["validation"])
        switch(optimizer, "train")
        curve.steps.append(steps)
        curve.train_loss.append(sum(losses) / max(1, len(losses)))
        curve.validation_loss.append(loss)
        curve.validation_metric.append(metric)
    for name, value in (("loss", loss), (task.metric_name, metric)):
        if not math.isfinite(value):
            raise Diverged(f"validation {name} is {value} at the end")
    switch(optimizer, "eval")
    return evaluate(task, model, task.sources["test"]) if job.phase == "final" else (None, None)


def switch(optimizer: torch.optim.Optimizer, mode: str) -> None:
    """Some optimizers (Schedule-Free) have modes, as models have: while training, parameters are not yet the result."""
    getattr(optimizer, mode, lambda: None)()


def _step(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> float:
    """One step by a closure, which every optimizer takes and some (L-BFGS) need; the loss before the step."""
    first: list[float] = []

    def closure() -> float:
        optimizer.zero_grad()
        loss = task.compute_loss(model, batch)
        if not first:
            check_loss(loss, finite=False)
            first.append(float(loss.detach()))
        loss.backward(create_graph=getattr(optimizer, "second_order", False))  # type: ignore[no-untyped-call]
        return loss  # type: ignore[return-value]

    optimizer.step(closure)
    return first[0]


def evaluate(task: Task, model: nn.Module, source: Source) -> tuple[float, float]:
    """The loss and the metric over a whole part of the data, without dropout.

    A metric of `(output, target)` sees the whole part at once; everything else is a mean over rows.
    """
    model.eval()
    whole = callable(task.metric) and not takes_model(task.metric)
    total = {"rows": 0, "loss": 0.0, "metric": 0.0}
    outputs: list[Any] = []
    targets: list[Any] = []
    with torch.no_grad():
        for raw in source.batches(None):
            batch = to_device(raw, task.device)
            rows = count_rows(batch)
            output = target = None
            if whole or task.metric == "accuracy" or not takes_model(task.loss):
                inputs, target = inputs_and_target(batch)
                output = model(*inputs)
            loss = task.compute_loss(model, batch) if takes_model(task.loss) else task.loss(output, target)
            total["rows"] += rows
            total["loss"] += rows * float(loss)
            if whole:
                outputs.append(output)
                targets.append(target)
            else:
                total["metric"] += rows * _metric_of(task, model, batch, output, target, float(loss))
        metric = _whole(task, outputs, targets) if whole else total["metric"] / max(1, total["rows"])
    model.train()
    return total["loss"] / max(1, total["rows"]), metric


def _metric_of(task: Task, model: nn.Module, batch: Any, output: Any, target: Any, loss: float) -> float:
    if task.metric == "loss":
        return loss
    if task.metric == "accuracy":
        guess = output.argmax(1) if output.dim() > 1 and output.shape[1] > 1 else (output.squeeze(-1) > 0).long()
        return float((guess == target.squeeze(-1) if target.dim() > guess.dim() else guess == target).double().mean())
    assert callable(task.metric)
    return float(task.metric(model, batch))


def _whole(task: Task, outputs: list[Any], targets: list[Any]) -> float:
    assert callable(task.metric)
    if not isinstance(outputs[0], Tensor) or not isinstance(targets[0], Tensor):
        raise TaskError("metric: the model's output and the target must be tensors, or let it be metric(model, batch)")
    return float(task.metric(torch.cat(outputs), torch.cat(targets)))
