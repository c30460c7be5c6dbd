"""Runs that go side by side from the first step to the last: `training.loop.train` for many jobs at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thalweg.lab.random.seeds import derive
from thalweg.lab.runners.lanes.batches import Batches, side_by_side
from thalweg.lab.runners.lanes.evaluation import judge
from thalweg.lab.runners.lanes.forward import Streams
from thalweg.lab.runners.lanes.refusal import CannotRide, model_refusal, optimizer_refusal, task_refusal
from thalweg.lab.runners.lanes.stack import Stack, join
from thalweg.lab.runners.lanes.stepping import Stepping
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import evaluation_step
from thalweg.lab.training.run import Run
from thalweg.lab.training.trial import Status, Trial

COMPACT = 0.25  # the share of ended lanes at which the others close up


class StackedRuns:
    """Jobs of one task with equally many epochs and rows a batch; lane k of the stack is `runs[k]`.

    `alone`: the jobs whose optimizers cannot ride, with the reason; no trial of theirs is given. Raises CannotRide, or
    whatever the stacked model raises, where the task cannot.
    """

    def __init__(self, task: Task, jobs: Sequence[Job]) -> None:
        if reason := task_refusal(task):
            raise CannotRide(reason)
        self.task = jobs[0].adapt(task)
        self.runs = [Run(self.task, job) for job in jobs]
        seeds = [run.seed for run in self.runs]
        models = {seed: self.task.build(seed).train() for seed in dict.fromkeys(seeds)}
        if reason := model_refusal(models[seeds[0]]):
            raise CannotRide(reason)
        self.stack = Stack(self.task, models, seeds)
        for k, run in enumerate(self.runs):
            with self.stack.model_of(k) as model:
                run.attempt(run.start, model)
        self.batches = Batches(self.task, [*models], jobs[0].epochs)
        self.refused = [run for run in self.runs if run.status]
        self.alone = {
            run.job.id: reason
            for run in self.runs
            if run.optimizer is not None and (reason := optimizer_refusal(run.optimizer))
        }
        self.steps = 0
        self._close_up()

    @property
    def going(self) -> list[tuple[int, Run]]:
        """The runs that go on, with their lanes."""
        return [(k, run) for k, run in enumerate(self.runs) if run.status is None and run.job.id not in self.alone]

    def run(self) -> Iterator[Trial]:
        """Each trial as it ends."""
        yield from (run.trial() for run in self.refused)
        if not self.going:
            return
        for epoch, steps in enumerate(self.batches):
            for batches in steps:
                yield from self.step(batches)
                if not self.going:
                    return
            yield from self._close_epoch(epoch)
            if not self.going:
                return
        yield from self._finish([run for _, run in self.going])

    def step(self, batches: Mapping[int, Any]) -> Iterator[Trial]:
        """One step of all lanes, on the batch of each seed; the trials that end in it."""
        clock, going = time.perf_counter(), self.going
        self.streams.begin(self.steps)
        batch = side_by_side(batches, self.seeds, self.streams.places)
        losses, gradients = self.stack.losses_and_gradients(batch, self.streams)
        self.stepping.step(gradients)
        values = losses.tolist()
        for k, run in going:
            if run.status is None:
                run.attempt(run.see, values[k])
        self.steps += 1
        _share(clock, going)
        for _, run in going:
            run.look_at_the_clock()
        yield from self._leave([run for _, run in going if run.status])

    def _close_epoch(self, epoch: int) -> Iterator[Trial]:
        clock, going = time.perf_counter(), self.going
        self._switch("eval")
        self.streams.begin(evaluation_step(epoch))
        found = judge(self.stack, self.task.sources["validation"], self.streams)
        for k, run in going:
            if run.close_epoch(self.steps, *found[k]):
                run.best = self.stack.weights(k)
        self._switch("train")
        for _, run in going:
            run.attempt(run.after_epoch)
        _share(clock, going)
        stopped = [run for _, run in going if run.stopping.over and run.status is None]
        yield from self._leave([run for _, run in going if run.status])
        if stopped:
            yield from self._finish(stopped)
            self._close_up()

    def _finish(self, over: Sequence[Run]) -> Iterator[Trial]:
        """End these runs, finalists with a look at the test set."""
        clock = time.perf_counter()
        for run in over:
            run.attempt(run.finish)
        finals = [
            (k, run) for k, run in enumerate(self.runs) if run in over and run.final and run.status is Status.DONE
        ]
        if finals:
            for _, run in finals:
                run.switch("eval")
            weights = join([run.best or self.stack.weights(k) for k, run in finals])
            streams = self._streams([run for _, run in finals])
            streams.begin(evaluation_step(None))
            found = judge(self.stack, self.task.sources["test"], streams, weights)
            for (_, run), values in zip(finals, found, strict=True):
                run.see_test(*values)
        _share(clock, [(0, run) for run in over])
        yield from (run.trial() for run in over)

    def _leave(self, ended: Sequence[Run]) -> Iterator[Trial]:
        yield from (run.trial() for run in ended)
        if ended:
            self._close_up()

    def _switch(self, mode: str) -> None:
        for _, run in self.going:
            run.switch(mode)

    def _close_up(self) -> None:
        """Leave the lanes of ended runs, once there are enough of them; then see who is stepped with whom."""
        going = self.going
        if not going:
            return
        if len(self.runs) - len(going) >= COMPACT * len(self.runs):
            self.stack.select([k for k, _ in going])
            self.runs = [run for _, run in going]
        self.seeds = list(dict.fromkeys(run.seed for run in self.runs))
        self.batches.keep(self.seeds)
        self.streams = self._streams(self.runs)
        self.stepping = Stepping(self.stack, dict(self.going))

    def _streams(self, runs: Sequence[Run]) -> Streams:
        seeds = list(dict.fromkeys(run.seed for run in runs))
        return Streams([derive(seed, "noise") for seed in seeds], [seeds.index(run.seed) for run in runs])


def _share(clock: float, lanes: Sequence[tuple[int, Run]]) -> None:
    """Time that lanes took together, in equal parts."""
    share = (time.perf_counter() - clock) / max(1, len(lanes))
    for _, run in lanes:
        run.seconds += share
