"""What a study was asked, as its spec.json has it: all that its trials depend on.

`study.validation` looks at each field as it is read from a folder; here they have names and kinds.
"""

from __future__ import annotations

from typing import Any, TypedDict

# Names that Python keeps for itself.
_Origin = TypedDict("_Origin", {"from": "str | None"}, total=False)  # the name or file that the task was loaded by
_Class = TypedDict("_Class", {"class": str})


class _Task(_Origin):
    name: str
    identity: str  # digest of data, model and training
    metric: str
    larger_is_better: bool
    epochs: int
    batch_size: int
    margin: float | None  # least difference that matters, in the metric's unit
    data: dict[str, str]  # a line for each part: rows, and how they came about


class TaskSpec(_Task, total=False):
    """The task; what follows is there where it applies."""

    parts: dict[str, str]  # digests of what the identity is made of
    loop: str  # a loop of one's own: its command, or "function"
    training: dict[str, Any]  # what the task asks for beside batches and epochs


class RateSpec(TypedDict):
    """The learning rate of an optimizer."""

    default: float | None
    search: list[float] | None


class OptimizerSpec(_Class, total=False):
    """An optimizer of the study; its class is named by its module where it is not the catalogue's."""

    module: str
    settings: dict[str, Any]
    lr: RateSpec


class Spec(TypedDict):
    """The study. What its protocol holds is the verb's."""

    verb: str
    task: TaskSpec
    optimizers: dict[str, OptimizerSpec]
    protocol: dict[str, Any]
