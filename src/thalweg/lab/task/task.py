"""A task: the user's model, loss, data and metric, in a few lines, checked before anything is trained."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from thalweg.lab.errors import TaskError
from thalweg.lab.isolation import preserving_process
from thalweg.lab.random.seeds import derive, preserving_random_state, seed_everything
from thalweg.lab.task.check import check, first_batch
from thalweg.lab.task.convention import inputs_and_target, takes_model
from thalweg.lab.task.data import Source, as_source, fold, split, to_device
from thalweg.lab.task.identity import identity, identity_parts
from thalweg.lab.task.precision import PRECISIONS, autocast

DIVERGENCE = 4.0  # the rule's factor


@dataclass(frozen=True, eq=False)
class Task:
    """What to train, and how to judge it.

    Args:
        model: builds a new `nn.Module` each time it is called (a class or a function, not a module).
        loss: `loss(output, target)`, a module such as `nn.CrossEntropyLoss()` included: a batch is then
            (inputs..., target) and the output is `model(*inputs)`. For anything else: a function whose
            first parameter is called `model`: `loss(model, batch)`. Both return the batch's mean, a scalar.
        train: a tuple of tensors, a `Dataset`, or a `DataLoader`.
        validation: the same, or the share of the training rows to hold out for it (chosen by a fixed seed).
        test: the same as validation. It is read for finalists only.
        metric: "accuracy", "loss", or a function, `metric(output, target)` of a whole part of the data or
            `metric(model, batch)` averaged over its batches.
        direction: "max" or "min"; needed when the metric is a function.
        epochs: passes over the training data, each ended by an evaluation; with `steps` the number of evaluations.
        batch_size: rows a batch; a DataLoader has its own.
        name: names the study.
        margin: differences of the metric smaller than this do not matter to you. None: half a point of
            accuracy, else 1 % of the leader's value.
        device: where to train; "auto": a GPU where there is one.
        source: the text of the file the task came from, as part of its identity.
        steps: gradient steps in all, drawn from as many passes as they take.
        schedule: `schedule(optimizer, steps)` gives one of torch's schedulers, which will make `steps` steps.
            ReduceLROnPlateau follows the validation metric.
        schedule_every: "step" or "epoch": when the scheduler steps. ReduceLROnPlateau does at each epoch's end.
        patience: epochs without a better validation metric after which the training ends. The best epoch's weights
            are then the result, also where the training ran to its end.
        augment: `augment(batch)` gives the batch to train on; what it draws is fixed by the seed and the step.
        clip_norm: the largest norm of all gradients together, as `torch.nn.utils.clip_grad_norm_` has it.
        weight_decay: given to each optimizer that has this setting, in its own way, coupled or decoupled.
        l2: adds l2 / 2 x the sum of squares of the parameters to the loss of every optimizer alike. It is in the
            gradient, not in the loss that is reported.
        divergence: a run ends, and has failed, when the median of its last losses is so many times its first ones,
            and that by more than they scatter; None: when a loss is not finite, and else never.
        groups: `groups(model)` gives the parameter groups that every optimizer gets, as `thalweg.optim.groups` makes
            them by roles. A group's own `lr` is a share of the one under trial: 1e-3 and 1e-4 stay ten times apart.
        precision: "bf16" or "fp16": forward passes run under `torch.autocast`, with "fp16" losses are scaled by
            torch's GradScaler. None: as the model is.
        accumulate: batches whose gradients, averaged, make one step.
        compile: whether `model.compile()` is called on each model; or the name of a backend for it.
        folds: cross-validation: so many equal parts of the training rows take turns as validation data, by the run's
            seed. It is in place of `validation`; give as many seeds as folds.
        usual_time: how long a run takes, for a listing.
        about: the data and its size in a line, for a listing.

    Raises:
        TaskError: naming the argument, its value and what is allowed.
    """

    model: Callable[[], nn.Module]
    loss: Callable[..., Tensor]
    train: Any = field(repr=False)
    validation: Any = field(default=0.2, repr=False)
    test: Any = field(default=0.2, repr=False)
    metric: str | Callable[..., Any] = "loss"
    direction: str | None = None
    epochs: int = 20
    batch_size: int = 64
    name: str = "task"
    margin: float | None = None
    device: str = "cpu"
    source: str = field(default="", repr=False)
    steps: int | None = None
    schedule: Callable[[torch.optim.Optimizer, int], LRScheduler] | None = None
    schedule_every: str = "step"
    patience: int | None = None
    augment: Callable[[Any], Any] | None = None
    clip_norm: float | None = None
    weight_decay: float | None = None
    l2: float | None = None
    divergence: float | None = DIVERGENCE
    groups: Callable[[nn.Module], Any] | None = None
    precision: str | None = None
    accumulate: int = 1
    compile: bool | str = False
    folds: int | None = None
    usual_time: str = ""
    about: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.model, nn.Module):
            raise TaskError(
                f"model: got a {type(self.model).__name__} that is already built; must be a function "
                "that builds a new one, so that seeds fix its initialization"
            )
        for name in ("model", "loss"):
            if not callable(value := getattr(self, name)):
                raise TaskError(f"{name}: got {value!r}; must be a function")
        for name in ("schedule", "augment", "groups"):
            if not ((value := getattr(self, name)) is None or callable(value)):
                raise TaskError(f"{name}: got {value!r}; must be a function, or None")
        for name in ("epochs", "batch_size", "steps", "patience", "accumulate", "folds"):
            _check_count(name, getattr(self, name), optional=name in ("steps", "patience", "folds"))
        if self.device == "auto":
            found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            object.__setattr__(self, "device", "cpu" if found is None else found.type)
        if self.precision is not None and self.precision not in PRECISIONS:
            raise TaskError(f"precision: got {self.precision!r}; must be {', '.join(PRECISIONS)}, or None")
        if not isinstance(self.compile, bool | str):
            raise TaskError(f"compile: got {self.compile!r}; must be True, False or the name of a backend")
        if self.folds == 1 or (self.folds and not isinstance(self.validation, float)):
            raise TaskError(f"folds: got {self.folds!r}; must be at least 2, and no validation data given")
        for name in ("clip_norm", "weight_decay", "l2", "divergence"):
            _check_amount(name, getattr(self, name), above_zero=name in ("clip_norm", "divergence"))
        if self.schedule_every not in ("step", "epoch"):
            raise TaskError(f'schedule_every: got {self.schedule_every!r}; must be "step" or "epoch"')
        if not (callable(self.metric) or self.metric in ("accuracy", "loss")):
            raise TaskError(f'metric: got {self.metric!r}; must be "accuracy", "loss" or a function')
        if self.direction not in (None, "max", "min"):
            raise TaskError(f'direction: got {self.direction!r}; must be "max" or "min"')
        if callable(self.metric) and self.direction is None:
            raise TaskError('direction: got None; must be "max" or "min" when the metric is a function')
        if self.margin is not None and not self.margin >= 0:
            raise TaskError(f"margin: got {self.margin!r}; must be a number >= 0, or None")
        if not isinstance(self.name, str) or not self.name:
            raise TaskError(f"name: got {self.name!r}; must be a text")
        _ = self.sources  # wrong data shows here, where it was given

    @cached_property
    def sources(self) -> dict[str, Source]:
        """The three parts of the data, of the first fold where there are some."""
        return self._parts(0)

    def _parts(self, number: int) -> dict[str, Source]:
        """The three parts of a fold; shares are split off the training rows here."""
        shares: dict[str, float] = {}
        given = {}
        try:
            for name in ("test",) if self.folds else ("validation", "test"):
                value = getattr(self, name)
                if isinstance(value, float):
                    if not 0 < value < 1:
                        raise TaskError(f"{name}: got {value!r}; a share must lie between 0 and 1")
                    shares[name] = value
                else:
                    given[name] = as_source(value, name, self.batch_size)
            if sum(shares.values()) >= 1:
                raise TaskError(f"validation and test: got {shares}; must leave rows to train on")
            train = as_source(self.train, "train", self.batch_size)
            made = given | (split(train, shares) if shares else {"train": train})
            return made | (fold(made["train"], self.folds, number) if self.folds else {})
        except TaskError:
            raise
        except ValueError as error:
            raise TaskError(str(error)) from None

    @property
    def metric_name(self) -> str:
        return self.metric if isinstance(self.metric, str) else getattr(self.metric, "__name__", "metric")

    @property
    def larger_is_better(self) -> bool:
        if self.direction is not None:
            return self.direction == "max"
        return self.metric == "accuracy"

    def describe_data(self) -> dict[str, str]:
        """One line for each part: how many rows, and how it came about."""
        lines = {}
        for name, part in self.sources.items():
            share = getattr(self, name)
            how = f", {share:.0%} of the rows given, by a fixed seed" if isinstance(share, float) else ""
            if self.folds and name == "validation":
                how = f", one of {self.folds} folds, by the run's seed"
            lines[name] = f"{part.rows if part.rows is not None else '?'} rows{how}"
        return lines

    def describe_run(self) -> dict[str, Any]:
        """What the task asks for beside batches and epochs, by name; what it does not ask for is not in it."""
        plain = {name: getattr(self, name) for name in ("steps", "patience", "clip_norm", "weight_decay", "l2")}
        plain |= {"precision": self.precision, "folds": self.folds, "compile": self.compile or None}
        plain["accumulate"] = None if self.accumulate == 1 else self.accumulate
        named = {name: getattr(self, name) for name in ("schedule", "augment", "groups")}
        found = {name: value for name, value in plain.items() if value is not None}
        found |= {name: getattr(value, "__name__", type(value).__name__) for name, value in named.items() if value}
        if self.divergence != DIVERGENCE:
            found["divergence"] = "none" if self.divergence is None else self.divergence
        return found | ({"schedule_every": self.schedule_every} if self.schedule else {})

    def with_steps(self, steps: int) -> Task:
        """The same, given in so many steps, with its data as they have been split."""
        made = copy.copy(self)
        object.__setattr__(made, "steps", steps)
        return made

    def with_fold(self, number: int) -> Task:
        """The same, with another fold of the training rows as validation data."""
        made = copy.copy(self)
        made.__dict__["sources"] = self._parts(number)
        return made

    def identity(self) -> str:
        """A hash of what the task does: its source, its data, its model's shape, how it is trained."""
        with preserving_process(self.device):
            return identity(self)

    def identity_parts(self) -> dict[str, str]:
        """A hash of each part of that, to tell what has changed."""
        with preserving_process(self.device):
            return identity_parts(self)

    def build(self, seed: int) -> nn.Module:
        """A new model as the seed initializes it; the caller's random state is left alone."""
        with preserving_random_state(self.device):
            seed_everything(derive(seed, "init"), self.device)
            model = self.model()
        if not isinstance(model, nn.Module):
            raise TaskError(f"model: returned {type(model).__name__}; must return an nn.Module")
        if self.compile:
            model.compile(**({"backend": self.compile} if isinstance(self.compile, str) else {}))
        return model.to(self.device)

    def compute_loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of one batch, by whichever of the two conventions the user's function follows."""
        with autocast(self):
            if self.loss_takes_model:
                return self.loss(model, batch)
            inputs, target = inputs_and_target(batch)
            return self.loss(model(*inputs), target)

    @cached_property
    def loss_takes_model(self) -> bool:
        """Which convention that is: looking took longer than a small model's forward pass."""
        return takes_model(self.loss)

    @property
    def sparse_gradients(self) -> bool:
        """Whether the model has parameters with sparse gradients, which most optimizers refuse."""
        return True in self.gradients_are_sparse.values()

    @cached_property
    def gradients_are_sparse(self) -> dict[str, bool]:
        """By the name of each of the model's parameters that has a gradient, whether that is sparse."""
        with preserving_process(self.device):
            seed_everything(0, self.device)
            try:
                model = self.build(0)
                batch = to_device(first_batch(self.sources["train"], 0), self.device)
                self.compute_loss(model, batch).backward()  # type: ignore[no-untyped-call]
            except Exception:  # whatever is wrong shows in `check`
                return {}
        return {name: p.grad.is_sparse for name, p in model.named_parameters() if p.grad is not None}

    def check(self) -> None:
        """Try one batch, so that a mistake shows before the study starts rather than in each of its trials.

        Raises:
            TaskError: naming what is wrong.
        """
        check(self)


def _check_count(name: str, value: Any, optional: bool) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TaskError(f"{name}: got {value!r}; must be a whole number of at least 1{', or None' if optional else ''}")


def _check_amount(name: str, value: Any, above_zero: bool) -> None:
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < 0 or (above_zero and value == 0):
        raise TaskError(f"{name}: got {value!r}; must be a number {'>' if above_zero else '>='} 0, or None")
