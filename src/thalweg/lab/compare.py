"""The main job: many optimizers on one task under one fair protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.lab.campaign import Campaign, Progress
from thalweg.lab.errors import LabError
from thalweg.lab.load import load_task
from thalweg.lab.machine import measure_threads, torch_threads, versions
from thalweg.lab.points import points, ranked
from thalweg.lab.protocol import Protocol, first_look, second_look
from thalweg.lab.result import Comparison
from thalweg.lab.runners import Alone
from thalweg.lab.study import Study
from thalweg.lab.task import Task
from thalweg.lab.timing import measure_milliseconds

__all__ = ["Comparison", "Progress", "compare"]

if TYPE_CHECKING:
    from thalweg.catalogue import Entry


def compare(
    task: Task | str,
    optimizers: Sequence[Any] | None = None,
    preset: str = "quick",
    *,
    trials: int | None = None,
    seeds: int | None = None,
    finalists: int | None = None,
    finalist_seeds: int | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Find out which optimizer, and which learning rate, suits a task. The same call again resumes.

    Args:
        task: a `Task`, or what the command line takes: "digits", "my_task.py:task".
        optimizers: names from the catalogue, entries, or `torch.optim.Optimizer` classes; all if None.
        preset: "quick", "standard" or "thorough"; the numbers after it change one of its numbers.
        epochs: instead of the task's own.
        out: the study's folder; `studies/<task>-<preset>` if None.
        progress: called after each training.

    Raises:
        TaskError: for a task that cannot be trained.
        StudyError: for a folder that holds another study.
        LabError: for anything else that is not allowed.
    """
    task = load_task(task) if isinstance(task, str) else task
    protocol = Protocol.of(preset, trials=trials, seeds=seeds, finalists=finalists, finalist_seeds=finalist_seeds)
    if epochs is not None and (isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1):
        raise LabError(f"epochs: got {epochs!r}; must be a whole number of at least 1")
    entries = resolve(optimizers)
    task.check()
    spec = describe(task, entries, protocol, epochs or task.epochs)
    folder = Path(out) if out is not None else Path("studies") / f"{_file_name(task.name)}-{preset}"
    with Study(folder, spec, versions()) as study:
        threads = study.settle_threads(lambda: measure_threads(task))
        with torch_threads(threads) if task.device == "cpu" else nullcontext():
            agreed = Protocol(**study.spec["protocol"])
            total = sum(price(entry, agreed) for entry in entries)
            campaign = Campaign(task, epochs or task.epochs, study, Alone(), total, progress)
            Comparing(campaign, entries, agreed).run()
        comparison = Comparison.of(task, entries, study)
        comparison.save()
    return comparison


def resolve(optimizers: Sequence[Any] | None) -> list[Entry]:
    """Catalogue entries for what the user named, each once.

    Raises:
        LabError: for an unknown name, one named twice, or none at all.
    """
    from thalweg.catalogue import CATALOGUE, Entry

    if isinstance(optimizers, str):
        optimizers = [optimizers]
    try:
        every = [entry for entry in CATALOGUE.values() if entry.takes_dense]
        entries = [Entry.of(spec) for spec in (every if optimizers is None else optimizers)]
    except ValueError as error:
        raise LabError(str(error)) from None
    if not entries:
        raise LabError("optimizers: got none; must name at least one")
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LabError(f"optimizers: {', '.join(twice)} named twice; must be different")
    return entries


def describe(task: Task, entries: Sequence[Entry], protocol: Protocol, epochs: int) -> dict[str, Any]:
    """All that a study's trials depend on: two studies with the same spec have the same trials."""
    return {
        "task": {
            "name": task.name,
            "identity": task.identity(),
            "metric": task.metric_name,
            "larger_is_better": task.larger_is_better,
            "epochs": epochs,
            "batch_size": task.batch_size,
            "margin": task.margin,
            "data": task.describe_data(),
        },
        "optimizers": {
            entry.name: {
                "class": entry.optimizer.__qualname__,
                "settings": dict(entry.settings),
                "lr": {"default": _default_rate(entry), "search": list(entry.search("lr") or ()) or None},
            }
            for entry in entries
        },
        "protocol": asdict(protocol),
    }


class Comparing:
    """Plans a comparison's rounds: search, look again, decide on fresh seeds."""

    def __init__(self, campaign: Campaign, entries: Sequence[Entry], protocol: Protocol) -> None:
        self.campaign, self.entries, self.protocol = campaign, entries, protocol

    def run(self) -> None:
        """Round by round over the optimizers, all of a round at once: a runner may train many side by side."""
        rates = {entry.name: self._first(entry) for entry in self.entries}
        self._search(rates, start=0)
        more = {entry.name: self._second(entry, rates[entry.name]) for entry in self.entries}
        self._search(more, start=self.protocol.trials - self.protocol.second_look)
        larger = self.campaign.task.larger_is_better
        finalists = [
            (entry, point)
            for entry in self.entries
            for point in ranked(points(self.campaign.searched(entry.name)), larger)[: self.protocol.finalists]
        ]
        self.campaign.run(
            [
                self.campaign.job(entry, point.settings, seed, phase="final", index=point.index)
                for seed in self.protocol.fresh_seeds
                for entry, point in finalists
            ]
        )
        self.campaign.study.settle("milliseconds", lambda: measure_milliseconds(self.campaign.task, self.entries))

    def _search(self, rates: dict[str, list[dict[str, Any]]], start: int) -> None:
        self.campaign.run(
            [
                self.campaign.job(entry, rates[entry.name][place], seed, index=start + place)
                for place in range(max(len(found) for found in rates.values()))
                for seed in self.protocol.search_seeds
                for entry in self.entries
                if place < len(rates[entry.name])
            ]
        )

    def _first(self, entry: Entry) -> list[dict[str, Any]]:
        default = _default_rate(entry)
        if default is None:  # nothing to tune
            return [{}]
        count = self.protocol.trials - self.protocol.second_look
        return [{"lr": rate} for rate in first_look(default, entry.search("lr"), count)]

    def _second(self, entry: Entry, first: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = points(self.campaign.searched(entry.name))
        best = ranked(found, self.campaign.task.larger_is_better)[0]
        rate = None if best.failed == len(best.trials) else best.rate
        tried = [settings["lr"] for settings in first if "lr" in settings]
        return [{"lr": rate} for rate in second_look(tried, rate, self.protocol.second_look)]


def price(entry: Entry, protocol: Protocol) -> int:
    """How many trainings an optimizer gets."""
    trials = protocol.trials if _default_rate(entry) is not None else 1
    return trials * protocol.seeds + min(protocol.finalists, trials) * protocol.finalist_seeds


def _default_rate(entry: Entry) -> float | None:
    try:
        rate = entry.default("lr")
    except (KeyError, AttributeError, ValueError):
        return None
    return float(rate) if isinstance(rate, int | float) else None


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)
