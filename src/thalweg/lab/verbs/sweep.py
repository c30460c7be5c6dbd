"""Learning rates of one or several optimizers, log-spaced, several seeds each: where it learns, where it breaks."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from thalweg.lab.arguments import folder_of, integer, search_seeds, seconds, several, span, the_task
from thalweg.lab.cost.price import Estimate
from thalweg.lab.errors import LabError
from thalweg.lab.recording import record as recorder
from thalweg.lab.results import Sweep
from thalweg.lab.runners.resources import Resources
from thalweg.lab.search.configurations import candidates_of, ranked
from thalweg.lab.search.protocol import second_look
from thalweg.lab.study.campaign import RETRIES, Campaign
from thalweg.lab.study.deadline import Deadline
from thalweg.lab.study.optimizers import check_fit, resolve
from thalweg.lab.study.session import (
    affordable,
    check_ended,
    describe,
    keep_baselines,
    keep_wanted,
    open_campaign,
    planned,
    tell_cut,
)
from thalweg.lab.study.store import default_folder
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lab.training.job import Job
from thalweg.lab.training.spec import Spec
from thalweg.lab.verbs.options import (
    Baseline,
    Budget,
    Command,
    CpusPerRun,
    Direction,
    FewEpochs,
    Gpus,
    GpusPerRun,
    LastStep,
    Metric,
    MetricFile,
    Optimizers,
    Out,
    Read,
    Record,
    Retries,
    Tell,
    TheTask,
    TimeLimit,
    Where,
)
from thalweg.lab.verbs.verb import Option, verb

if TYPE_CHECKING:
    from thalweg.catalogue import Entry

__all__ = ["Sweep", "sweep"]

MOST_EPOCHS = 10  # a sweep looks for the region; `compare` trains to the end
LEAST = 5  # points of a budget
CLOSER = 100_000  # indices from about here on are of the closer look
DECADES_ON = 3  # how far past the range a best rate at its edge is followed


@verb
def sweep(
    task: TheTask = None,
    optimizers: Optimizers = None,
    *,
    lr: Annotated[
        tuple[float, float] | str,
        Option(
            "The range of learning rates, both ends included. The default of each optimizer is tried too.",
            unset="1e-5,1e-1",
        ),
    ] = (1e-5, 1e-1),
    points: Annotated[int, Option("Learning rates, evenly spaced over the range on a logarithmic scale.")] = 13,
    closer: Annotated[
        int, Option("How many times to try a rate more on either side of the best, half way to its neighbor.")
    ] = 3,
    seeds: Annotated[int, Option("Seeds for each learning rate; more can be added later.")] = 3,
    budget: Budget = None,
    epochs: FewEpochs = None,
    extend: Annotated[
        bool,
        Option(
            "Go on past the range, a decade at a time and three at most, while the best rate is at its edge. A budget "
            "does not count it."
        ),
    ] = True,
    time_limit: TimeLimit = None,
    on: Where = "auto",
    out: Out = None,
    record: Record = False,
    progress: Tell = None,
    command: Command = None,
    direction: Direction = None,
    metric: Metric = None,
    read: Read = None,
    metric_file: MetricFile = None,
    baseline: Baseline = None,
    steps: LastStep = None,
    retries: Retries = RETRIES,
    gpus: Gpus = None,
    gpus_per_run: GpusPerRun = None,
    cpus_per_run: CpusPerRun = None,
) -> Sweep:
    """Train with learning rates all over a range, on several seeds. Rerun it to resume the study.

    Raises:
        TaskError: for a task that cannot be trained.
        StudyError: for a folder that holds another study.
        LabError: for anything else that is not allowed.
    """
    deadline = Deadline(seconds("budget", budget), time.monotonic())
    task, loaded_from, here = the_task(
        task, command, direction=direction, metric=metric, read=read, file=metric_file, baseline=baseline, length=steps
    )
    resources = Resources(gpus, gpus_per_run, cpus_per_run)
    integer("retries", retries, least=0)
    low, high = span("lr", lr)
    integer("points", points, least=2)
    integer("closer", closer, least=0)
    search_seeds(seeds)
    most = task.epochs if isinstance(task, OwnLoop) else min(task.epochs, MOST_EPOCHS)
    epochs = most if epochs is None else integer("epochs", epochs)
    entries = resolve(optimizers, task)
    fixed = [entry.name for entry in entries if entry.default_rate is None]
    if fixed:
        own = fixed == [task.name]  # a command's script makes its optimizer, whose default rate only it knows
        step = "; `thalweg tune --hyperparameters lr=1e-5:1e-1` searches the {lr} of a command without {optimizer}"
        raise LabError(f"optimizers: {', '.join(fixed)} has no learning rate to sweep{step if own else ''}")
    task.check()
    check_fit(task, entries)
    if record:
        recorder.check(task)
    names = [entry.name for entry in entries]
    longest = seconds("time_limit", time_limit)
    named = [name for name in names if name != task.name]  # a command's script may make its optimizer itself
    folder = folder_of(out, here, task.name, "sweep", *(named if len(names) < 4 else [f"{len(names)}-optimizers"]))
    limit = seconds("budget", budget)
    estimate = Estimate(task, entries, epochs, longest, resources)
    protocol = {"lr": [low, high], "points": points, "closer": closer, "seeds": seeds, "extend": bool(extend)}
    protocol["budget"] = limit
    spec = describe("sweep", task, loaded_from, epochs, entries, protocol)
    folder = folder if out is not None else default_folder(folder, spec)
    wanted = points
    if limit is not None:
        least = min(LEAST, points)

        def cut() -> int:
            runs = lambda n: dict.fromkeys(names, (n + 1 + 2 * closer) * seeds)  # noqa: E731
            return affordable(estimate, limit, on, runs, points, least)

        points = planned(folder, "points", cut)
        spec["protocol"]["points"] = points
    grid = Grid(low, high, points)

    def total(spec: Spec) -> int:
        return sum(len(grid.first(entry)) + 2 * closer for entry in entries) * int(spec["protocol"]["seeds"])

    with open_campaign(
        estimate, spec, folder, total, on=on, deadline=deadline, retries=retries, progress=progress
    ) as campaign:
        keep_wanted(campaign, wanted, campaign.study.spec["protocol"]["points"])
        Sweeping(campaign, entries, grid, campaign.study.spec["protocol"]).run()
        check_ended(campaign, Sweep)
        result = Sweep(*campaign.study.parts)
        result.save()
        if record:
            recorder.record(campaign, entries, result)
    return result


class Grid:
    """Learning rates by their place: evenly on a logarithmic scale, and as far beyond the ends as one likes."""

    def __init__(self, low: float, high: float, count: int) -> None:
        self.low, self.count = low, count
        self.ratio = (high / low) ** (1 / (count - 1))

    def rate(self, position: int) -> float:
        return float(f"{self.low * self.ratio**position:.3g}")  # three digits: one can read and paste it

    def index(self, position: int) -> int:
        """The trial's index: 0 is the default's, whatever is tried beyond the ends, and in whatever order."""
        return 1 + position if position >= 0 else 10_000 - position

    def first(self, entry: Entry) -> dict[int, float]:
        """Rates by index: the default, and the grid without a rate that is as good as the default itself."""
        default = entry.default_rate
        assert default is not None
        return {0: default, **self.at(range(self.count), default)}

    def at(self, places: Sequence[int], default: float) -> dict[int, float]:
        rates = {self.index(position): self.rate(position) for position in places}
        return {i: rate for i, rate in rates.items() if not self.same(rate, default)}

    def same(self, rate: float, other: float) -> bool:
        return other > 0 and abs(math.log(rate / other)) < math.log(self.ratio) / 20

    @property
    def decade(self) -> int:
        """How many places make a decade."""
        return max(1, round(math.log(10) / math.log(self.ratio)))


class Sweeping:
    """Plans a sweep: the whole grid at once, a decade on where the best stands at its edge, then a closer look."""

    def __init__(self, campaign: Campaign, entries: Sequence[Entry], grid: Grid, protocol: Mapping[str, Any]) -> None:
        self.campaign, self.entries, self.grid = campaign, entries, grid
        self.seeds, self.extend, self.closer = range(protocol["seeds"]), protocol["extend"], protocol["closer"]

    def run(self) -> None:
        first = {entry.name: self.grid.first(entry) for entry in self.entries}
        if self.campaign.deadline.at is not None:  # in an order whose every beginning covers the range
            first = {name: {index: rates[index] for index in spread_out(list(rates))} for name, rates in first.items()}
        self.campaign.run(self._jobs(first))
        self._go_on()
        for _ in range(self.closer):
            self.campaign.run(self._jobs({entry.name: self._between(entry) for entry in self.entries}))
        keep_baselines(self.campaign, "validation")
        ended = len(self.campaign.asked)
        cut = [f"{ended} of at least {several(max(ended, self.campaign.total), 'run')} made"]
        tell_cut(self.campaign, cut if self.campaign.deadline.passed else [])

    def _go_on(self) -> None:
        """Follow a best rate past the edge, a decade at a time."""
        ends = {entry.name: (0, self.grid.count - 1) for entry in self.entries}
        for _ in range(DECADES_ON if self.extend else 0):
            more = self._jobs({entry.name: self._beyond(entry, ends) for entry in self.entries})
            if not more:
                return
            self.campaign.total += sum(job.id not in self.campaign.study.trials for job in more)
            self.campaign.run(more)

    def _beyond(self, entry: Entry, ends: dict[str, tuple[int, int]]) -> dict[int, float]:
        """A decade more of rates on the side where the best rate is the last one."""
        candidates = candidates_of(self.campaign.searched(entry.name))
        if not candidates or self.campaign.deadline.passed:
            return {}
        best = ranked(candidates, self.campaign.task.larger_is_better)[0]
        low, high = ends[entry.name]
        default = entry.default_rate
        assert default is not None
        if best.failed == len(best.trials):
            return {}
        if best.rate >= self.grid.rate(high):
            places = range(high + 1, high + 1 + self.grid.decade)
            ends[entry.name] = (low, places[-1])
        elif best.rate <= self.grid.rate(low):
            places = range(low - self.grid.decade, low)
            ends[entry.name] = (places[0], high)
        else:
            return {}
        return self.grid.at(places, default)

    def _between(self, entry: Entry) -> dict[int, float]:
        """Half way from the best to its neighbors: a curve may be a sharp V between two points of a grid."""
        candidates = candidates_of(self.campaign.searched(entry.name))
        if not candidates or self.campaign.deadline.passed:
            return {}
        best = ranked(candidates, self.campaign.task.larger_is_better)[0]
        rates = sorted({candidate.rate for candidate in candidates if candidate.rate > 0})
        if best.failed == len(best.trials) or best.rate in (rates[0], rates[-1]):
            return {}
        result = second_look(rates, best.rate, 2)
        return {CLOSER + round(1000 * math.log10(rate)): rate for rate in result}  # a rate's index is its own

    def _jobs(self, rates: Mapping[str, Mapping[int, float]]) -> list[Job]:
        """By turns, so that a budget leaves each optimizer as many."""
        turns = list(itertools.zip_longest(*(list(rates[entry.name].items()) for entry in self.entries)))
        return [
            self.campaign.job(entry, {"lr": rate}, seed, index=index)
            for seed in self.seeds
            for turn in turns
            for entry, (index, rate) in ((entry, one) for entry, one in zip(self.entries, turn, strict=True) if one)
        ]


def spread_out(items: list[int]) -> list[int]:
    """The first, then the others in halves: each beginning of the list is spread over all of it.

    >>> spread_out([0, 1, 2, 3, 4, 5, 6, 7, 8])
    [0, 1, 8, 4, 6, 2, 7, 5, 3]
    """
    first, rest = items[:1], items[1:]
    order = [place for place in (0, len(rest) - 1) if 0 <= place < len(rest)]
    while len(set(order)) < len(rest):
        known = sorted(set(order))
        low, high = max(itertools.pairwise(known), key=lambda pair: (pair[1] - pair[0], pair[0]))
        order.append((low + high) // 2)
    return [*first, *(rest[place] for place in dict.fromkeys(order))]
