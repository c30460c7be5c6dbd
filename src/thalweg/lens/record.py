"""What was seen of a run: plain numbers, which the pathologies read and a page draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from thalweg.lens.not_finite import NotFinite
from thalweg.lens.output import Output
from thalweg.lens.tensor_step import TensorStep

HIGH = 0.1  # of the highest rate
LAYERS = ("matrix", "convolution", "head", "experts")  # roles


@dataclass
class Record:
    """One run, as far as it has come.

    `tensors` has a row a watched step, each with the numbers by parameter. `losses` and `outputs` are by step.
    """

    settings: list[dict[str, Any]] = field(default_factory=list)  # of each group, as they were at the start
    sizes: dict[str, int] = field(default_factory=dict)  # of all parameters of the model, by name
    roles: dict[str, str] = field(default_factory=dict)  # of the same, as `thalweg.roles` tells them
    inside: set[str] = field(default_factory=set)  # those that the optimizer has
    resumed: bool = False  # the optimizer had taken steps before
    steps: int = 0
    tensors: dict[int, Mapping[str, TensorStep]] = field(default_factory=dict)
    look_back: dict[int, float] = field(default_factory=dict)  # cosine of all gradients with the watched step before
    rates: list[float] = field(default_factory=list)  # lr of the first group, a step
    losses: dict[int, float] = field(default_factory=dict)
    outputs: dict[int, Output] = field(default_factory=dict)  # the last backward pass of a step
    scores: dict[int, tuple[float, float]] = field(default_factory=dict)  # offset and spread of the output
    totals: dict[int, float] = field(default_factory=dict)  # sum of `Output.total` over the passes of a step
    passes: int = 1  # backward passes a step, the most that were seen
    reevaluated: bool = False  # a closure was called more than once a step: it is not a step along the first gradient
    added_to_old: dict[int, bool] = field(default_factory=dict)  # at steps that were looked at
    contested: bool = False  # another optimizer's pass goes through the parameters, against this one's, as in a GAN
    energies: dict[int, float] = field(default_factory=dict)  # g^2 over the same few elements, by step
    dtypes: str = ""  # of the parameters
    inputs: tuple[float, float] | None = None  # mean and deviation of the first batch
    dead: dict[str, tuple[int, int]] = field(default_factory=dict)  # rows without any gradient, rows, by weight
    never: dict[str, str] = field(default_factory=dict)  # parameters that never moved, and why
    not_finite: NotFinite | None = None  # where numbers stopped being finite

    def until(self, last: int) -> Record:
        """The same run as it stood after so many steps."""
        by_step = ("tensors", "look_back", "losses", "outputs", "scores", "totals", "added_to_old", "energies")
        early: dict[str, Any] = {name: {s: x for s, x in getattr(self, name).items() if s <= last} for name in by_step}
        return replace(self, steps=min(self.steps, last), rates=self.rates[:last], **early)

    @property
    def begins_at_zero(self) -> bool:
        """Whether a layer does, as the second factor of a low-rank adapter: gradients then grow as it leaves zero."""
        first: Mapping[str, TensorStep] = next(iter(self.tensors.values()), {})
        return any(each.weight == 0 for name, each in first.items() if self.roles.get(name) in LAYERS)

    def rate_is_high(self, step: int) -> bool:
        """Whether a schedule has not brought it down: a step that is short on purpose tells of nothing else."""
        return self.rates[step - 1] > HIGH * max(self.rates)

    def sum(self, step: int, quantity: str) -> float:
        """A sum over the parameters, for quantities that add up."""
        return float(sum(getattr(each, quantity) for each in self.tensors[step].values()))

    def mean(self, step: int, quantity: str) -> float:
        """A mean over the parameters, each by its size; NaN where none has it."""
        pairs = [(getattr(each, quantity), each.size) for each in self.tensors[step].values()]
        known = [(value, size) for value, size in pairs if not math.isnan(value)]
        total = sum(size for _, size in known)
        return sum(value * size for value, size in known) / total if total else math.nan

    def curve(self) -> list[tuple[int, float]]:
        return sorted(self.losses.items())

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row a watched step and parameter, for a data frame."""
        for step, named in self.tensors.items():
            for name, each in named.items():
                yield {"step": step, "parameter": name, "update_ratio": each.update_ratio} | asdict(each)
