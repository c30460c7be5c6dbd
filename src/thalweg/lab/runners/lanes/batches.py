"""The batches of several seeds at once: each drawn once, however many lanes train on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from thalweg.lab.runners.lanes.refusal import CannotRide
from thalweg.lab.runners.lanes.stack import Shared
from thalweg.lab.task.task import Task
from thalweg.lab.training.batches import rounds

Tensor = torch.Tensor
DIFFER = "batches of different seeds differ in shape or in what is not a tensor, so they cannot be stacked"


class Batches:
    """The training batches of each seed, in the order that a lone run of that seed has."""

    def __init__(self, task: Task, seeds: Sequence[int], epochs: int) -> None:
        self.rounds = {seed: rounds(task, seed, epochs) for seed in seeds}

    def keep(self, seeds: Sequence[int]) -> None:
        """Draw no more for any other seed."""
        self.rounds = {seed: own for seed, own in self.rounds.items() if seed in seeds}

    def __iter__(self) -> Iterator[Iterator[dict[int, Any]]]:
        """For each evaluation the steps before it: of each step the batch of each seed."""
        while True:
            current = {seed: next(own, None) for seed, own in self.rounds.items()}
            if any(one is None for one in current.values()):
                return
            yield self._steps({seed: one for seed, one in current.items() if one is not None})

    def _steps(self, current: Mapping[int, Iterator[Any]]) -> Iterator[dict[int, Any]]:
        end = object()
        while True:
            drawn = {seed: next(current[seed], end) for seed in self.rounds}
            ended = [batch is end for batch in drawn.values()]
            if all(ended):
                return
            if any(ended):
                raise CannotRide("the data has fewer batches for some seeds than for others")
            yield drawn


def side_by_side(drawn: Mapping[int, Any], seeds: Sequence[int], places: Tensor) -> Any:
    """The batches of `seeds` as one of all lanes: `places` says which of the seeds each lane has."""
    flat = [pytree.tree_flatten(drawn[seed]) for seed in seeds]
    (first, spec), *others = flat
    if not others:
        return pytree.tree_unflatten([Shared(part) if isinstance(part, Tensor) else part for part in first], spec)
    if any(other_spec != spec for _, other_spec in others):
        raise CannotRide(DIFFER)
    parts = [_stacked(one, places) for one in zip(first, *[other for other, _ in others], strict=True)]
    return pytree.tree_unflatten(parts, spec)


def _stacked(one: Sequence[Any], places: Tensor) -> Any:
    if not all(isinstance(part, Tensor) for part in one):
        if any(part != one[0] for part in one):
            raise CannotRide(DIFFER)
        return one[0]
    if len({(part.shape, part.dtype) for part in one}) > 1:
        raise CannotRide(DIFFER)
    return torch.stack(list(one)).index_select(0, places.to(one[0].device))
