"""A LightningModule with its DataModule as a task: `training_step` is the loss, what `validation_step` logs the metric.

The loop is the lab's, not a Trainer's: `configure_optimizers` is not used (the lab chooses the optimizer; a schedule is
given with `schedule=`), and neither are hooks and callbacks. Nothing of Lightning is imported here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from thalweg.lab.errors import TaskError
from thalweg.lab.task.task import Task

__all__ = ["from_lightning"]

HALF = 0.5  # of the validation data, where there are none for the test


def from_lightning(
    make_module: Callable[[], Any],
    datamodule: Any,
    metric: str = "val_loss",
    direction: str = "min",
    *,
    test: Any = None,
    **settings: Any,
) -> Task:
    """The task of a LightningModule.

    Args:
        make_module: the class, or a function that builds a new module.
        datamodule: a LightningDataModule, or its class.
        metric: the name under which `validation_step` logs what to choose by; averaged over the batches. The test data
            goes through `validation_step` too, so that the two are the same.
        direction: "min" or "max".
        test: a DataLoader or Dataset where the DataModule has no `test_dataloader`; or the share of the validation data
            to hold out for it, such as 0.2. Where nothing is given and there is none: half of the validation data.
        settings: any other argument of `Task`: epochs, steps, schedule, patience, clip_norm ...

    Raises:
        TaskError: for what is no such module, and for data that are not one loader a part.
    """
    if isinstance(make_module, nn.Module) or not callable(make_module):
        raise TaskError(
            f"make_module: got {type(make_module).__name__}; must be a LightningModule's class, or a function that "
            "builds a new one, so that seeds fix its initialization"
        )
    data = datamodule() if isinstance(datamodule, type) else datamodule
    _call(data, "prepare_data")
    _call(data, "setup", "fit")
    parts = {"train": _loader(data, "train_dataloader"), "validation": _loader(data, "val_dataloader")}
    about = ""
    if test is None:
        _call(data, "setup", "test")
        try:
            test = _loader(data, "test_dataloader")
        except TaskError:
            test, about = HALF, "; it has no test data: half of the validation data is held out for that"
    if isinstance(test, float):
        parts["validation"], test = _held_out(parts["validation"], test)
    name = getattr(make_module, "__name__", "module")
    return Task(
        **{
            "name": name.lower() if name.isidentifier() else "module",  # a lambda has no name
            "model": partial(Stepped, make_module),
            "loss": step_loss,
            "metric": Logged(metric),
            "direction": direction,
            "test": test,
            "about": f"{name} with the data of {type(data).__name__}; its configure_optimizers is not used{about}",
            **parts,
            **settings,
        }
    )


def _held_out(loader: DataLoader[Any], share: float) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """The validation data without a share of its rows, and that share, chosen by a fixed seed."""
    rows = len(loader.dataset) if hasattr(loader.dataset, "__len__") else 0
    count = round(share * rows)
    if not 0 < share < 1 or not 0 < count < rows:
        raise TaskError(f"test: got {share!r} of {rows} validation rows; must leave rows on either side, or give test=")
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0)).tolist()
    mine, held = (
        DataLoader(Subset(loader.dataset, chosen), loader.batch_size or 1, collate_fn=loader.collate_fn)
        for chosen in (sorted(order[count:]), sorted(order[:count]))
    )
    return mine, held


class Stepped(nn.Module):
    """The module, with a `log` that keeps what was logged last: without a Trainer Lightning drops it."""

    def __init__(self, make_module: Callable[[], Any]) -> None:
        super().__init__()
        module = make_module()
        for name in ("training_step", "validation_step"):
            if not callable(getattr(module, name, None)):
                raise TaskError(f"make_module: built {type(module).__name__} without {name}; must be a LightningModule")
        if not getattr(module, "automatic_optimization", True):
            raise TaskError(
                f"make_module: {type(module).__name__} optimizes by hand (automatic_optimization=False); the lab "
                "needs a training_step that returns its loss"
            )
        self.module = module
        self.takes = {name: _takes(getattr(module, name)) for name in ("training_step", "validation_step")}
        self.logged: dict[str, Any] = {}
        self.of: Any = None  # the batch that it was logged for
        module.log = self._log

    def _log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        self.logged[name] = value

    def run(self, batch: Any) -> Any:
        """One step in the present mode: what it returns."""
        self.logged, self.of = {}, batch
        name = "training_step" if self.training else "validation_step"
        return getattr(self.module, name)(*(batch, 0)[: self.takes[name]])

    def forward(self, *inputs: Any, **named: Any) -> Any:
        return self.module(*inputs, **named)


def step_loss(model: Stepped, batch: Any) -> Any:
    """What the step returns as its loss; of a `validation_step` that returns none the logged one."""
    returned = model.run(batch)
    loss = returned.get("loss") if isinstance(returned, dict) else returned
    if loss is not None or model.training:
        return loss
    logged = [value for name, value in model.logged.items() if name.endswith("loss")]
    return logged[0] if logged else next((_number(value) for value in model.logged.values()), None)


class Logged:
    """The metric of a batch: what `validation_step` logged under a name."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name

    def __call__(self, model: Stepped, batch: Any) -> float:
        if model.of is not batch:
            model.run(batch)
        if self.name not in model.logged:
            found = ", ".join(model.logged) or "nothing"
            raise TaskError(f"metric: {self.name!r} is not logged by validation_step, which logs {found}")
        return float(_number(model.logged[self.name]))


def _takes(step: Callable[..., Any]) -> int:
    """Whether a step takes the batch alone, or its number too."""
    try:
        inspect.signature(step).bind(None, 0)
    except TypeError:
        return 1
    return 2


def _number(value: Any) -> Any:
    """Of an object of torchmetrics the value of this batch alone."""
    if hasattr(value, "compute") and hasattr(value, "reset"):
        number = value.compute()
        value.reset()
        return number
    return value.detach() if isinstance(value, Tensor) else value


def _call(data: Any, name: str, *arguments: Any) -> None:
    getattr(data, name, lambda *_: None)(*arguments)


def _loader(data: Any, name: str, missing: str = "") -> DataLoader[Any]:
    try:
        found = getattr(data, name)()
    except Exception as error:  # Lightning's own default raises where the user has written none
        raise TaskError(f"datamodule: {type(data).__name__}.{name} gave no data ({error}){missing}") from None
    if isinstance(found, list | tuple) and len(found) == 1:
        found = found[0]
    if not isinstance(found, DataLoader):
        raise TaskError(
            f"datamodule: {type(data).__name__}.{name} gave {type(found).__name__}; must be one DataLoader{missing}"
        )
    return found
