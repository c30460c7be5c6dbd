"""Many runs side by side, as one stacked model, against the same runs one at a time: three models.

    python benchmarks/lanes.py                        about 4 minutes
    python benchmarks/lanes.py --quick                a look
    python benchmarks/lanes.py --models digits --threads 2

On one thread by default, as the lab trains small models: more cores are for more processes. Then the thread's own
time counts, which others on the machine hardly change; on several threads it is the clock's.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import report
import written
from step import RESULTS, use_threads

TITLES = {
    "digits": "digits: 64-64-10 with dropout, batch 64",
    "digits-cnn": "digits-cnn: two convolutions with dropout, shifted images",
    "wide": "wide: 784-256-256-10, batch 64",
}
LANES = (8, 32, 128)
STEPS = 5  # of every training in a turn, after one that is not timed
STEPS_ALONE = 50  # of the lone one, after ten: it must not pay for the caches that the others have filled


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--models", default=",".join(TITLES), help="of %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--threads", type=int, default=1, help="default: one")
    chosen = parser.parse_args()
    chosen.models = chosen.models.split(",")
    for name in chosen.models:
        if name not in TITLES:
            parser.error(f"--models: {name!r} is none of {', '.join(TITLES)}")
    return chosen


def task_of(name: str) -> Any:
    """The task, without an end."""
    import torch
    from torch import nn

    from thalweg.lab import Task, load_task

    if name != "wide":
        return replace(load_task(name), steps=10**9)
    pixels = torch.randn(1000, 784, generator=torch.Generator().manual_seed(0))

    def network() -> nn.Module:
        return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))

    return Task(network, nn.CrossEntropyLoss(), (pixels, torch.arange(1000) % 10), steps=10**9, name="wide")


def job(seed: int, lr: float) -> Any:
    """Adam, slow enough that no lane ends."""
    from thalweg.catalogue import CATALOGUE
    from thalweg.lab.training.job import Job
    from thalweg.lab.training.trial import Configuration

    return Job(f"{seed}/{lr}", "search", 0, CATALOGUE["adam"], Configuration("adam", {"lr": lr}, seed), 1)


def stopwatch(step: Any, steps: int) -> Any:
    """A turn of so many steps; a fifth as many before them bring its own data back to the caches."""
    import torch

    now = time.thread_time_ns if torch.get_num_threads() == 1 else time.perf_counter_ns

    def turn() -> tuple[int, ...]:
        for _ in range(steps // 5):
            step()
        start = now()
        for _ in range(steps):
            step()
        return ((now() - start) // steps,)

    return turn


def alone(task: Any) -> Any:
    """A turn of one run."""
    from thalweg.lab.random.keyed import Keyed
    from thalweg.lab.random.streams import Stream
    from thalweg.lab.training import loop as training
    from thalweg.lab.training.batches import rounds
    from thalweg.lab.training.divergence import DivergenceMonitor

    model = task.build(0).train()
    optimizer, keyed, watch = (
        job(0, 1e-5).entry.build(model.parameters(), lr=1e-5),
        Keyed(Stream(0)),
        DivergenceMonitor(),
    )
    batches: Iterator[Any] = next(rounds(task, 0, 1))

    def step() -> None:
        watch.see(training.step(task, model, optimizer, next(batches), keyed.at(next(places))))

    places = count()
    return stopwatch(step, STEPS_ALONE)


def together(task: Any, lanes: int) -> Any:
    """A turn of many: of four seeds, each with its own rate."""
    from thalweg.lab.runners.lanes.stacked_runs import StackedRuns

    cohort = StackedRuns(task, [job(place % 4, 1e-5 * (1 + place / lanes)) for place in range(lanes)])
    batches = next(iter(cohort.batches))

    def step() -> None:
        assert not list(cohort.step(next(batches)))

    return stopwatch(step, STEPS)


def measure(name: str, quick: bool) -> dict[str, Any]:
    """One model: alone and with each number of lanes, in turn."""
    from interleave import Pace, interleave, summary

    task = task_of(name)
    subjects = {"1": alone(task)} | {str(lanes): together(task, lanes) for lanes in LANES}
    pace = Pace(seconds=10 if quick else 60, least=5, most=200, warm_up=1)
    rounds = interleave(subjects, pace)
    each = {lanes: times[:, 0] / int(lanes) for lanes, times in rounds.items()}
    return {
        "parameters": sum(p.numel() for p in task.build(0).parameters()),
        "rounds": len(each["1"]),
        "lanes": {
            lanes: {"us": summary(times), "times_alone": summary(each["1"] / times)} for lanes, times in each.items()
        },
    }


def section(name: str, part: dict[str, Any]) -> str:
    """One model as Markdown."""
    head = ("side by side", "a step of one run, us", "runs a second, x one at a time")
    lines = [
        ("one at a time" if lanes == "1" else lanes, report.spread(row["us"]), report.spread(row["times_alone"]))
        for lanes, row in part["lanes"].items()
    ]
    return (
        f"## {TITLES[name]}; {part['parameters']:,} parameters\n\n"
        f"Median (quartiles) over {part['rounds']} rounds.\n\n{report.table(head, lines)}"
    )


def markdown(results: dict[str, Any]) -> str:
    """All that was measured."""
    machine = results["machine"]
    installed = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version)
    head = (
        f"# Runs side by side, {results['date']}\n\n"
        f"- {machine['cpu']} ({machine['instructions']}), {machine['cores']} cores, torch on "
        f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}, {machine['memory_gb']} GB memory; "
        f"{machine['system']}\n- {installed}\n"
        f"- load average {results['load']['start']} at the start, {results['load']['end']} at the end; "
        f"{results['seconds']:.0f} s" + ("; --quick: few rounds" if results["quick"] else "")
    )
    return "\n\n".join([head, *(section(name, part) for name, part in results["models"].items())]) + "\n"


def main() -> int:
    """Run what was asked for."""
    chosen = arguments()
    use_threads(chosen.threads)
    import torch

    import machine

    torch.set_num_threads(chosen.threads)
    began = time.monotonic()
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "quick": chosen.quick,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "load": {"start": machine.load(), "end": None},
        "models": {},
    }
    kind = "-quick" if chosen.quick else "-part" if tuple(chosen.models) != tuple(TITLES) else ""
    files = written.named("lanes", results, kind)
    for name in chosen.models:
        results["models"][name] = measure(name, chosen.quick)
        results["load"]["end"], results["seconds"] = machine.load(), time.monotonic() - began
        written.write(results, markdown(results), chosen.out, files)
        print(f"{results['seconds']:6.0f} s  {name}", file=sys.stderr, flush=True)
    print(markdown(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
