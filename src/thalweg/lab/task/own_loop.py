"""An own loop: a function `train(run)` or a command, as the task of a study."""

from __future__ import annotations

import hashlib
import inspect
import math
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.errors import TaskError
from thalweg.lab.task.identity import text_of
from thalweg.lab.task.task import Task

if TYPE_CHECKING:
    import torch

    from thalweg.lab.own_loop.run import Run

PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
FILES = (".jsonl", ".json", ".csv")  # that a metric can be read from
GIVEN = ("seed", "folder", "optimizer")  # placeholders that every run fills, beside its hyperparameters


def _unused(*_: Any, **__: Any) -> Any:
    raise TaskError("task: a training loop of your own builds its model and its loss itself")


def script(params: Any) -> torch.optim.Optimizer:
    """What stands for the optimizer of a command that makes its own and does not ask for one."""
    raise TaskError("optimizer: this command's script makes its own; put {optimizer} in the command to compare some")


@dataclass(frozen=True, eq=False)
class OwnLoop(Task):
    """A task that trains itself.

    Args:
        function: `train(run)`, which gives the final value of the metric, or None where it was reported.
        command: a command with placeholders, such as `python train.py --lr {lr} --seed {seed}`.
        metric: what the value is called.
        direction: "max" or "min".
        baseline: what is reached without learning; where nobody beats it, the answer is that nothing was learned.
        length: the last step that a run reports; needed by pruners that stop runs after a share of it.
        read: for a command, a regular expression that finds the metric in its output.
        file: for a command, a JSONL, CSV or TensorBoard file that it writes the metric to.
        name, margin, source: as a `Task` has them.

    Raises:
        TaskError: naming the argument, its value and what is allowed.
    """

    model: Callable[[], Any] = _unused
    loss: Callable[..., Any] = _unused
    train: Any = None
    function: Callable[[Run], Any] | None = None
    command: str = ""
    length: int | None = None
    baseline: float | None = None
    read: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise TaskError(
                f'direction: got {self.direction!r}; must be "max" or "min": which way is the value of '
                f"{self.name} better?"
            )
        if not isinstance(self.metric, str) or not self.metric:
            raise TaskError(f"metric: got {self.metric!r}; must be the name of the value that the loop gives")
        if self.margin is not None and not (0 <= self.margin < math.inf):
            raise TaskError(f"margin: got {self.margin!r}; must be a number >= 0, or None")
        if self.baseline is not None and not _finite(self.baseline):
            raise TaskError(f"baseline: got {self.baseline!r}; must be a number: what is reached without learning")
        if self.length is not None and (not isinstance(self.length, int) or self.length < 1):
            raise TaskError(f"steps: got {self.length!r}; must be the last step that a run reports")
        if self.file and Path(self.file).suffix not in FILES and self.file != "tensorboard":
            raise TaskError(f"metric_file: got {self.file!r}; must end with {', '.join(FILES)}, or be tensorboard")
        if self.read:
            pattern(self.read)
        object.__setattr__(self, "epochs", self.length or 1)
        object.__setattr__(self, "batch_size", 1)

    @property
    def placeholders(self) -> list[str]:
        """What a command asks for."""
        return list(dict.fromkeys(PLACEHOLDER.findall(self.command)))

    @property
    def makes_optimizer(self) -> bool:
        """Whether the command's script makes the optimizer and is not told which."""
        return bool(self.command) and "optimizer" not in self.placeholders

    def describe_data(self) -> dict[str, str]:
        return {}

    def describe_run(self) -> dict[str, Any]:
        return {}

    def identity(self) -> str:
        """A hash of what the loop does: its source, or the command with the files it names."""
        parts = [self.source, self.name, self.metric_name, str(self.direction), self.command, self.read, self.file]
        if self.function is not None:
            parts.append(text_of(self.function))
        for word in _words(self.command):
            if Path(word).is_file() and Path(word).stat().st_size < 1_000_000:
                parts.append(Path(word).read_text(encoding="utf-8", errors="replace"))
        return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]

    def identity_parts(self) -> dict[str, str]:
        return {"source or command": self.identity()}

    @property
    def sparse_gradients(self) -> bool:
        """Nobody can tell before it runs."""
        return False

    def check(self) -> None:
        """Try what can be tried before a run.

        Raises:
            TaskError: naming what is wrong.
        """
        if self.command:
            words = _words(self.command)
            if not words or shutil.which(words[0]) is None:
                raise TaskError(f"command: got {self.command!r}; no program {words[0] if words else ''!r} is found")
            if "seed" not in self.placeholders:
                raise TaskError("command: must have {seed} in it: the answer is decided on fresh seeds")
        elif not takes_a_run(self.function):
            raise TaskError(f"train: got {self.function!r}; must be a function of one argument, train(run)")

    @classmethod
    def of(cls, given: Any, **options: Any) -> OwnLoop:
        """The loop of a function."""
        return cls(function=given, **{"name": getattr(given, "__name__", "train"), **options})


def takes_a_run(thing: Any) -> bool:
    """Whether this is a function that can be called as `train(run)`, and cannot be called without."""
    if not callable(thing) or isinstance(thing, type):
        return False
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return False
    needed = [each for each in parameters if each.default is each.empty and each.kind in (0, 1)]
    return len(needed) == 1 and all(each.kind in (0, 1, 2, 4) or each.default is not each.empty for each in parameters)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise TaskError(f"command: got {command!r}; {error}") from None


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression that finds the metric.

    Raises:
        TaskError: it is none, or has no group.
    """
    try:
        expression = re.compile(text)
    except re.error as error:
        raise TaskError(f"read: got {text!r}; not a regular expression: {error}") from None
    if not expression.groups:
        raise TaskError(f"read: got {text!r}; must have a group around the number, as in " r"'val loss (\S+)'")
    return expression
