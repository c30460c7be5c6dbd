"""Trainings that go side by side from the first step to the last: `training.train` for many jobs at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from thalweg.lab.random.seeds import derive
from thalweg.lab.runners.lanes.batches import Batches, side_by_side
from thalweg.lab.runners.lanes.evaluation import judge
from thalweg.lab.runners.lanes.forward import Streams
from thalweg.lab.runners.lanes.lane import Lane
from thalweg.lab.runners.lanes.refusal import CannotRide, model_refusal
from thalweg.lab.runners.lanes.stack import Stack, join
from thalweg.lab.runners.lanes.stepping import Stepping
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import evaluation_step
from thalweg.lab.training.trial import Trial

COMPACT = 0.25  # the share of ended lanes at which the others close up


class StackedRuns:
    """Jobs of one task with equally many epochs and rows a batch.

    `alone`: the jobs whose optimizers cannot ride, with the reason; no trial of theirs is given. Raises CannotRide, or
    whatever the stacked model raises, where the task cannot.
    """

    def __init__(self, task: Task, jobs: Sequence[Job]) -> None:
        self.task = jobs[0].adapt(task)
        self.lanes = [Lane(self.task, job) for job in jobs]  # at their places in the stack
        seeds = [lane.seed for lane in self.lanes]
        models = {seed: self.task.build(seed).train() for seed in dict.fromkeys(seeds)}
        if reason := model_refusal(models[seeds[0]]):
            raise CannotRide(reason)
        self.stack = Stack(self.task, models, seeds)
        for lane, params in zip(self.lanes, self.stack.lanes, strict=True):
            lane.build(params)
        self.batches = Batches(self.task, [*models], jobs[0].epochs)
        self.refused = [lane for lane in self.lanes if lane.status]
        self.alone = {lane.job.id: reason for lane in self.lanes if (reason := lane.leave_if_alone())}
        self.steps = 0
        self._close_up()

    @property
    def going(self) -> list[tuple[int, Lane]]:
        """The lanes that go on, with their places."""
        return [(k, lane) for k, lane in enumerate(self.lanes) if not lane.status]

    def run(self) -> Iterator[Trial]:
        """Each trial as it ends."""
        yield from (lane.trial() for lane in self.refused)
        if not self.going:
            return
        for epoch, steps in enumerate(self.batches):
            for drawn in steps:
                yield from self.step(drawn)
                if not self.going:
                    return
            yield from self._close_epoch(epoch)
            if not self.going:
                return
        yield from self._finish([lane for _, lane in self.going])

    def step(self, drawn: Mapping[int, Any]) -> Iterator[Trial]:
        """One step of all lanes, on the batch of each seed; the trials that end in it."""
        clock, going = time.perf_counter(), self.going
        self.streams.begin(self.steps)
        batch = side_by_side(drawn, self.seeds, self.streams.places)
        losses, gradients = self.stack.losses_and_gradients(batch, self.streams)
        self.stepping.step(gradients)
        values = losses.tolist()
        for k, lane in going:
            if not lane.status:
                lane.see(values[k])
        self.steps += 1
        _share(clock, going)
        for _, lane in going:
            lane.look_at_the_clock()
        yield from self._leave([lane for _, lane in going if lane.status])

    def _close_epoch(self, epoch: int) -> Iterator[Trial]:
        clock, going = time.perf_counter(), self.going
        self._switch("eval")
        self.streams.begin(evaluation_step(epoch))
        found = judge(self.stack, self.task.sources["validation"], self.streams)
        for k, lane in going:
            if lane.close_epoch(self.steps, *found[k]) and lane.final:
                lane.best = self.stack.weights(k)
        self._switch("train")
        for _, lane in going:
            lane.after_epoch()
        _share(clock, going)
        stopped = [lane for _, lane in going if lane.patience.over and not lane.status]
        yield from self._leave([lane for _, lane in going if lane.status])
        if stopped:
            yield from self._finish(stopped)
            self._close_up()

    def _finish(self, over: Sequence[Lane]) -> Iterator[Trial]:
        """End these lanes, finalists with a look at the test set."""
        clock = time.perf_counter()
        for lane in over:
            lane.finish()
        finals = [
            (k, lane) for k, lane in enumerate(self.lanes) if lane in over and lane.final and lane.status == "done"
        ]
        if finals:
            for _, lane in finals:
                lane.switch("eval")
            weights = join([lane.best or self.stack.weights(k) for k, lane in finals])
            streams = self._streams([lane for _, lane in finals])
            streams.begin(evaluation_step(None))
            found = judge(self.stack, self.task.sources["test"], streams, weights)
            for (_, lane), (loss, metric) in zip(finals, found, strict=True):
                lane.outcome = replace(lane.outcome, test_loss=loss, test_metric=metric)
        _share(clock, [(0, lane) for lane in over])
        yield from (lane.trial() for lane in over)

    def _leave(self, ended: Sequence[Lane]) -> Iterator[Trial]:
        yield from (lane.trial() for lane in ended)
        if ended:
            self._close_up()

    def _switch(self, mode: str) -> None:
        for _, lane in self.going:
            lane.switch(mode)

    def _close_up(self) -> None:
        """Leave the places of ended lanes, once there are enough of them; then see who is stepped with whom."""
        going = self.going
        if not going:
            return
        if len(self.lanes) - len(going) >= COMPACT * len(self.lanes):
            self.stack.select([k for k, _ in going])
            self.lanes = [lane for _, lane in going]
        self.seeds = list(dict.fromkeys(lane.seed for lane in self.lanes))
        self.batches.keep(self.seeds)
        self.streams = self._streams(self.lanes)
        self.stepping = Stepping(self.stack, self.lanes)

    def _streams(self, lanes: Sequence[Lane]) -> Streams:
        seeds = list(dict.fromkeys(lane.seed for lane in lanes))
        return Streams([derive(seed, "noise") for seed in seeds], [seeds.index(lane.seed) for lane in lanes])


def _share(clock: float, lanes: Sequence[tuple[int, Lane]]) -> None:
    """Time that lanes took together, in equal parts."""
    share = (time.perf_counter() - clock) / max(1, len(lanes))
    for _, lane in lanes:
        lane.seconds += share
