"""Time to a recommendation: `thalweg tune` against a plain Optuna script and Ray Tune with ASHA, on the same machine.

    python benchmarks/lab.py                          digits and digits-cnn, three rounds; about half an hour
    python benchmarks/lab.py --tasks digits --rounds 2 --trials 40 --sides thalweg,optuna

Each search is a process of its own (`searches.py`), in turn; its time is from after the imports to the recommendation.
Ours has more in it than theirs: five fresh seeds for the best setting and for the default, and the report. Then every
recommendation trains on ten fresh seeds, by one and the same loop, and is compared on the test set in pairs.

The same recommendation: what a search would recommend if it were broken off counts too. Each of these settings trains
on the ten fresh seeds; the mean over the rounds is how good a search is at a moment. What the worse of two searches
ends with, less a quarter of a point, is what both are timed to: from when on each is as good as that.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, median
from typing import Any

import machine
import written

RESULTS = Path(__file__).parent / "results"
SIDES = ("thalweg", "optuna", "ray")
NAMES = {"thalweg": "`thalweg tune`", "optuna": "Optuna, TPE and MedianPruner", "ray": "Ray Tune, ASHA"}
GOALS = {"digits": 5.0, "digits-cnn": 2.0}
MARGIN = 0.0025  # of accuracy: less is equal in practice
FRESH, SEEDS = 5000, 10  # no search has seen these seeds


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", default="digits,digits-cnn", help="default %(default)s")
    parser.add_argument("--sides", default=",".join(SIDES), help="default %(default)s")
    parser.add_argument("--trials", type=int, default=40, help="settings that each search tries; default %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    chosen = parser.parse_args()
    chosen.tasks, chosen.sides = chosen.tasks.split(","), chosen.sides.split(",")
    for side in chosen.sides:
        if side not in SIDES:
            parser.error(f"--sides: {side!r} is none of {', '.join(SIDES)}")
    return chosen


def search(side: str, task: str, trials: int, seed: int) -> dict[str, Any]:
    """Seconds and settings of one search."""
    script = Path(__file__).with_name("searches.py")
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(script), side, task, str(trials), str(seed)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{side}: {done.stderr.strip().splitlines()[-1:]}")
    found = dict(json.loads(done.stdout.strip().splitlines()[-1]))
    return {**found, "whole": time.perf_counter() - start}


def judge(task_name: str, recommendations: list[dict[str, Any]]) -> list[list[float]]:
    """Test metric of each recommendation on each fresh seed, by torch's own AdamW in the lab's loop."""
    import torch

    from thalweg.catalogue import Entry
    from thalweg.lab import load_task
    from thalweg.lab.runners.choice import choose
    from thalweg.lab.training.job import Job
    from thalweg.lab.training.trial import Configuration

    task, entry = load_task(task_name), Entry.of(torch.optim.AdamW)
    jobs = []
    for place, one in enumerate(recommendations):
        settings = {"lr": one["lr"], "betas": (one["beta1"], 0.999), "weight_decay": one["weight_decay"]}
        for seed in range(FRESH, FRESH + SEEDS):
            setting = Configuration(entry.name, settings, seed)
            jobs.append(Job(f"{place}/{seed}", "final", place, entry, setting, task.epochs))
    runner, _ = choose(task, [entry], runs=len(jobs))
    with runner:
        tests = {trial.id: trial.test_metric for trial in runner.run(task, jobs)}
    values = [float("nan") if tests[job.id] is None else float(tests[job.id]) for job in jobs]
    return [values[start : start + SEEDS] for start in range(0, len(values), SEEDS)]


def measure(task: str, sides: list[str], trials: int, rounds: int) -> dict[str, Any]:
    """All rounds of one task: the sides in turn, each round begun by another."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for seed in range(rounds):
        for side in sides[seed % len(sides) :] + sides[: seed % len(sides)]:
            runs[side].append(search(side, task, trials, seed))
            print(f"{task}, round {seed + 1}: {side} {runs[side][-1]['seconds']:.1f} s", flush=True)
    every = [run for side in sides for run in runs[side]]
    tests = iter(
        judge(task, [settings for run in every for settings in [run["settings"], *(s for _, s in run["path"])]])
    )
    for run in every:
        run["tests"] = next(tests)
        run["path"] = [(seconds, settings, fmean(next(tests))) for seconds, settings in run["path"]]
        run["path"].append((run["seconds"], run["settings"], fmean(run["tests"])))
    return {side: compared(runs[side], runs["thalweg"]) for side in sides}


def compared(runs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """One side beside ours."""
    from thalweg.lab.judging.statistics import mean_interval

    found: dict[str, Any] = {"runs": runs, "test": ending(runs)}
    if runs is ours:
        return found
    found["times_ours"] = median(b["seconds"] / a["seconds"] for a, b in zip(ours, runs, strict=True))
    # A fresh seed is a pair: each side's mean over its recommendations.
    pairs = [fmean(run["tests"][s] for run in ours) - fmean(run["tests"][s] for run in runs) for s in range(SEEDS)]
    gap = mean_interval(pairs)
    found["ours_better_by"] = [gap.mean, gap.low, gap.high]
    found["good"] = min(ending(runs), ending(ours)) - MARGIN
    found["as_good"] = [as_good(side, found["good"]) for side in (ours, runs)]
    ever = as_good(runs, ending(ours) - MARGIN)
    found["as_good_as_ours"] = ever if math.isfinite(ever) else None
    return found


def ending(runs: list[dict[str, Any]]) -> float:
    """The mean test metric of what a side's rounds recommend."""
    return fmean(fmean(run["tests"]) for run in runs)


def as_good(runs: list[dict[str, Any]], good: float) -> float:
    """Seconds from which on a side, over its rounds, would recommend what is at least so good."""
    moments = sorted(seconds for run in runs for seconds, *_ in run["path"])
    since = math.inf
    for moment in moments:
        known = [[test for seconds, _, test in run["path"] if seconds <= moment] for run in runs]
        now = fmean(tests[-1] for tests in known) if all(known) else -math.inf
        since = min(since, moment) if now >= good else math.inf
    return since


def markdown(results: dict[str, Any]) -> str:
    """The tables."""
    host, versions = results["machine"], results["versions"]
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    parts = [
        f"# Time to a recommendation, {results['date']}",
        f"- {host['cpu']}, {host['cores']} cores, {host['memory_gb']} GB memory; {host['system']}\n- {installed}\n"
        f"- load average {results['load']['start']} at the start, {results['load']['end']} at the end",
        f"AdamW's lr, beta1 and weight decay, {results['trials']} settings; median of {results['rounds']} rounds. "
        "Seconds are from after the imports to the recommendation; for ours they include ten runs on fresh seeds "
        f"and the report. Test accuracy: mean over {SEEDS} fresh seeds of every round's recommendation. As good: "
        f"as what the worse of the two ends with, less {100 * MARGIN:g} points.",
    ]
    for task, sides in results["tasks"].items():
        rows = ["| search | seconds | whole process | times ours | test accuracy | ours better by (95 %) |"]
        rows += ["|---|---:|---:|---:|---:|---:|"]
        same = ["| against | as good as | ours after | theirs after | times ours | theirs, as good as ours |"]
        same += ["|---|---:|---:|---:|---:|---:|"]
        for side, one in sides.items():
            seconds, whole = (median(run[key] for run in one["runs"]) for key in ("seconds", "whole"))
            times = f"{one['times_ours']:.1f} x" if "times_ours" in one else ""
            gap = one.get("ours_better_by")
            better = f"{100 * gap[0]:+.2f} ({100 * gap[1]:+.2f} to {100 * gap[2]:+.2f}) points" if gap else ""
            rows.append(
                f"| {NAMES[side]} | {seconds:.1f} | {whole:.1f} | {times} | {100 * one['test']:.2f} % | {better} |"
            )
            if "as_good" in one:
                a, b = one["as_good"]
                ever = f"{one['as_good_as_ours']:.1f} s" if one["as_good_as_ours"] is not None else "never"
                good = f"{100 * one['good']:.2f} %"
                same.append(f"| {NAMES[side]} | {good} | {a:.1f} s | {b:.1f} s | {b / a:.1f} x | {ever} |")
        goal = GOALS.get(task)
        verdict = ""
        if goal:
            least = min(one["as_good"][1] / one["as_good"][0] for one in sides.values() if "as_good" in one)
            verdict = f"\n\nGoal: {goal:g} x. {'Met' if least >= goal else 'Missed'}: {least:.1f} x."
        heading = "The same recommendation, seconds from which on the search is as good:"
        parts.append(f"## {task}\n\n" + "\n".join(rows) + f"\n\n{heading}\n\n" + "\n".join(same) + verdict)
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Measure, print, write down."""
    chosen = arguments()
    start = machine.load()
    tasks = {task: measure(task, chosen.sides, chosen.trials, chosen.rounds) for task in chosen.tasks}
    import importlib.metadata as metadata

    extra = {name: metadata.version(name) for name in ("optuna", "ray") if name in chosen.sides}
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": machine.describe(),
        "versions": {**machine.versions(), **extra},
        "load": {"start": start, "end": machine.load()},
        "trials": chosen.trials,
        "rounds": chosen.rounds,
        "tasks": tasks,
    }
    print(markdown(results))
    many = "" if chosen.trials == 40 else f"{chosen.trials}-settings-"
    name = f"lab-{'-'.join(chosen.sides[1:])}-{many}{os.cpu_count()}-cores-{results['date']}"
    written.write(results, markdown(results), chosen.out, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
