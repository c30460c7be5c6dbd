"""`thalweg.Run`: what a study and a training loop of one's own say to each other."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from thalweg.lab.errors import LabError
from thalweg.lab.own_loop import checkpoint
from thalweg.lab.own_loop.reports import SAID, Reports, append, checked_step, checked_value
from thalweg.lab.training.groups import shared_rates

if TYPE_CHECKING:
    import torch

    from thalweg.catalogue import Entry

RUN = "THALWEG_RUN"  # the folder of the run that a command's script belongs to
CONFIGURATION = "run.json"


class Ended(BaseException):
    """The study ends the run here, and it has not failed; no `except Exception` of the user's code is to take it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Run:
    """One run of a training loop of your own: its seed, its optimizer, its reports, its checkpoint, its folder.

    A study makes one for each call of your function. Made by hand it lets you call the function without a study.

    Args:
        optimizer: a name from the catalogue, such as "adamw" or "adam(eps=1e-3)", or a `torch.optim.Optimizer` class.
        settings: values for the optimizer's arguments, and for what `get` is asked for.
        seed: fixes what the loop draws; in a study Python, NumPy and torch have been seeded with it.
        folder: for checkpoints and files of your own; a temporary one if None.

    Raises:
        LabError: for an unknown optimizer.

    Example:
        >>> run = Run("sgd", {"lr": 0.5, "width": 8})
        >>> run.optimizer(nn.Linear(2, 1)).param_groups[0]["lr"], run.get("width", 4), run.get("depth", 2)
        (0.5, 8, 2)
    """

    def __init__(
        self,
        optimizer: Any = "adamw",
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        folder: str | Path | None = None,
    ) -> None:
        from thalweg.catalogue import Entry

        try:
            self.entry: Entry = Entry.of(optimizer)
        except ValueError as error:
            raise LabError(str(error)) from None
        self.seed = seed
        self.settings = dict(settings or {})
        self.asked: dict[str, Any] = {}
        self.reports = Reports()
        self._folder = None if folder is None else Path(folder)
        self._direct = False  # reports go to a study's other side by a file
        self._look: Callable[[int], None] = lambda step: None

    @classmethod
    def here(cls, optimizer: Any = "adamw") -> Run:
        """The run that this script belongs to, in a study of a command; outside of one, a run with `optimizer`.

        Raises:
            LabError: where the folder in THALWEG_RUN is not a run's.
        """
        where = os.environ.get(RUN)
        if not where:
            return cls(optimizer)
        folder = Path(where)
        try:
            content = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
            settings = {name: tuple(v) if isinstance(v, list) else v for name, v in content["settings"].items()}
            run = cls(content["optimizer"] or optimizer, settings, seed=content["seed"], folder=folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabError(f"{RUN}: {where} is not the folder of a run: {error}") from None
        run._direct = True
        return run

    def attach(self, reports: Reports, look: Callable[[int], None]) -> None:
        """For the study: where reports go, and what is asked after each; it may end the run by raising `Ended`."""
        self.reports, self._look = reports, look

    @property
    def folder(self) -> Path:
        """The run's own folder. It is the same when the run is begun again."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="thalweg-run-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def optimizer(
        self, model: nn.Module | Iterable[torch.Tensor] | Iterable[dict[str, Any]], **settings: Any
    ) -> torch.optim.Optimizer:
        """The optimizer under trial.

        Args:
            model: a model, its parameters, or parameter groups. A group's own `lr` is a share of the one under trial:
                groups at 1e-3 and 1e-4 stay ten times apart.
            settings: for what the trial does not set.
        """
        params = list(model.parameters()) if isinstance(model, nn.Module) else list(model)
        chosen = {**settings, **optimizers_own(self.entry, self.settings)}
        return self.entry.build(shared_rates(params, chosen.get("lr", self.entry.default_rate)), **chosen)

    def get(self, name: str, default: Any) -> Any:
        """A hyperparameter: what the study tries, else `default`. An optimizer's setting can be asked for too."""
        self.asked[name] = default
        value = self.settings.get(name, default)
        return type(default)(value) if isinstance(default, int) and isinstance(value, float) else value

    def report(self, step: int, value: float, **others: float) -> None:
        """Tell how far the run is and how good. The study may end the run here: save before.

        Args:
            step: gradient steps, epochs, or whatever counts up.
            value: the metric that is compared; it may be a tensor of one element.
            others: further numbers for the run's own record.

        Raises:
            ValueError: for a step that is no whole number, or a value that is not a number.
        """
        step, value = checked_step(step), checked_value(value)
        if self._direct:
            append(self.folder / SAID, step, value, **{name: checked_value(other) for name, other in others.items()})
            return
        self.reports.add(step, value)
        self._look(step)

    def save(self, step: int, **objects: Any) -> None:
        """Write a checkpoint, in place of the last: `run.save(step, model=model, optimizer=optimizer)`.

        Args:
            step: how many steps have been made; `restore` gives it back.
            objects: anything with `state_dict()` and `load_state_dict()`.

        Raises:
            TypeError: for an object without these.
        """
        checkpoint.save(self.folder / checkpoint.CHECKPOINT, checked_step(step), objects)

    def restore(self, **objects: Any) -> int:
        """Load the run's own checkpoint, random states included. The step it was saved at; 0 where there is none.

        Args:
            objects: the same, by the same names, as `save` got.

        Raises:
            ValueError: where the checkpoint has other names.
        """
        step = checkpoint.restore(self.folder / checkpoint.CHECKPOINT, objects)
        self.reports.forget(step)
        return step

    def __repr__(self) -> str:
        return f"Run({self.entry.name!r}, {self.settings!r}, seed={self.seed})"


def optimizers_own(entry: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a trial's settings that the optimizer takes; the others are the loop's."""
    import inspect

    names = inspect.signature(entry.optimizer).parameters
    return {name: value for name, value in settings.items() if name in names}


def report(step: int, **values: float) -> None:
    """Tell a study how a command's run goes: `thalweg.report(step, val_loss=loss)`. Outside a study nothing happens.

    Args:
        step: gradient steps, epochs, or whatever counts up.
        values: numbers by name; the one that the study's `metric` names is compared, else the first.

    Raises:
        ValueError: for a step that is no whole number, a value that is not a number, or none at all.
    """
    step = checked_step(step)
    if not values:
        raise ValueError("report: got no value; must be given one by name, such as val_loss=loss")
    numbers = {name: checked_value(value) for name, value in values.items()}
    where = os.environ.get(RUN)
    if not where:
        return
    try:
        metric = json.loads((Path(where) / CONFIGURATION).read_text(encoding="utf-8")).get("metric")
    except (OSError, ValueError):
        metric = None
    append(Path(where) / SAID, step, numbers.get(metric, next(iter(numbers.values()))), **numbers)
