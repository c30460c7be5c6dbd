"""The batches of a run, up to each evaluation: their order, their random numbers, their augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count, islice, pairwise
from typing import Any

from thalweg.lab.errors import TaskError
from thalweg.lab.random.seeds import derive, preserving_random_state, seed_everything
from thalweg.lab.task.data import Rows, to_device
from thalweg.lab.task.length import evaluations
from thalweg.lab.task.task import Task


def rounds(task: Task, seed: int, epochs: int) -> Iterator[Iterator[Any]]:
    """For each evaluation the batches before it, on the device and augmented. Use each up before the next.

    They depend on the task and the seed alone: runs of one seed may share them.
    """
    passes = Passes(task, seed)
    if task.steps is None:
        for epoch in range(epochs):
            yield passes.of(epoch)
        return
    stream = passes.endless()
    number = evaluations(task, epochs)
    ends = [round(task.steps * place / number) for place in range(number + 1)]
    for start, end in pairwise(ends):
        yield islice(stream, end - start)


class Several(tuple[Any, ...]):
    """Batches whose gradients make one step together."""


class Passes:
    """Passes over the training data; batches are counted over all of them."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.seed, self.step = task, seed, 0
        self.source = task.sources["train"]

    def of(self, number: int) -> Iterator[Any]:
        """What each step of one pass takes: a batch, or with the task's `accumulate` several."""
        batches, size = self._batches(number), self.task.accumulate
        if size == 1:
            yield from batches
            return
        while several := Several(islice(batches, size)):
            yield several

    def _batches(self, number: int) -> Iterator[Any]:
        """What data and augmentation draw depends on the seed and the batch's number alone."""
        batches = self.source.batches(derive(self.seed, "order", number))
        while True:
            with self._drawing("data"):
                batch = next(batches, None)
            if batch is None:
                return
            yield self._augmented(to_device(batch, self.task.device))
            self.step += 1

    def endless(self) -> Iterator[Any]:
        """Pass after pass."""
        for number in count():
            before = self.step
            yield from self.of(number)
            if self.step == before:
                raise TaskError("train: gave no batch; must hold at least one")

    def _augmented(self, batch: Any) -> Any:
        if self.task.augment is None:
            return batch
        with drawing(self.task, self.seed, "augment", self.step):
            return self.task.augment(batch)

    def _drawing(self, purpose: str) -> AbstractContextManager[None]:
        if isinstance(self.source, Rows):  # draws nothing: saves 0.13 ms a step
            return nullcontext()
        return drawing(self.task, self.seed, purpose, self.step)


@contextmanager
def drawing(task: Task, seed: int, purpose: str, step: int) -> Iterator[None]:
    """Random numbers for one purpose at one step; the training's own go on afterwards as if none were drawn."""
    with preserving_random_state(task.device):
        seed_everything(derive(seed, purpose, step), task.device)
        yield
