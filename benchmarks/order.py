"""Learn an order of configurations for each rule, judge it on families left out, and write it down.

    nice python benchmarks/order.py                          goes on where it stopped; 40 minutes of one core
    python benchmarks/order.py --each 8 --points 128         larger: more tasks of every family, more points
    python benchmarks/order.py --write                       the list that ships, and benchmarks/results/

Every task of `order_tasks.py` is trained with the same points of a rule's space, side by side: first spread over it,
then as many where they were good. The order is greedy: each next point lowers the mean regret of the best so far the
most. Regret 0 is the best that any run of the rule on the task found, 1 the median of the points that were spread.
Judged on a family whose tasks were not learned from, against TPE and random search; also the first sixteen followed
by TPE that has seen them. What is good is seen by halves of the families: no list has a point that was placed by the
family it is judged on. One seed a run: the noise is the same for all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

import order_tasks
from thalweg.catalogue import CATALOGUE, Entry
from thalweg.lab.judging.statistics import mean_interval
from thalweg.lab.random.seeds import derive
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.search import samplers
from thalweg.lab.search.hyperparameters import SearchRange, choose, settings
from thalweg.lab.search.order import AHEAD, greedy
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import Configuration, Status

ROOT = Path(__file__).parents[1]
RULES = ("adamw", "adam", "momentum", "rmsprop", "nadam", "radam", "lion", "nesterov", "adagrad", "schedule_free_adamw")
BATCH, TPE_TRIALS = 8, 40  # configurations at once; of TPE alone, and of a list and TPE after it
WORST = 2.0  # regret of what failed or is worse than that
BEST, REACH = 3, 0.07  # of a task's points, those that new ones are placed between; how far from there, of the range
PAIRS = (
    ("list", 8, "TPE", 8),
    ("list", 8, "TPE", 24),
    ("list, then TPE", 16, "TPE", 40),
    ("list, then TPE", 40, "TPE", 40),
    ("list", 8, "random", 8),
)
PLACED = {  # the points that one and the other half of the families placed
    "near-0": {"clusters", "handwriting", "squeeze", "tables"},
    "near-1": {"teacher", "waves", "rare", "letters"},
}
SHOWN = (1, 2, 4, 8, 16, 24, 40)


def losses(
    task: Task, entry: Entry, chosen: Sequence[SearchRange], points: Sequence[samplers.Coordinates]
) -> list[float]:
    """The validation loss at the end of a run at each point; inf for what failed."""
    jobs = []
    for place, point in enumerate(points):
        own, _ = settings(entry, chosen, {one.name: one.value(point[one.name]) for one in chosen})
        jobs.append(Job(str(place), "search", place, entry, Configuration(entry.name, own, 0), task.epochs))
    trials = list(Lanes(64).run(task, jobs))
    if crashed := [trial.message for trial in trials if trial.status is Status.CRASHED]:
        raise RuntimeError(f"{task.name}, {entry.name}: {crashed[0]}")
    found = {trial.index: trial.loss if trial.done else math.inf for trial in trials}
    return [found[place] for place in range(len(points))]


def tpe(name: str) -> optuna.samplers.TPESampler:
    """The lab's, but seeded by the task: what it asks for first knows nothing, and with one seed would be one draw."""
    return optuna.samplers.TPESampler(
        seed=derive(samplers.SEED, "tpe", name) % 2**32, multivariate=True, constant_liar=True
    )


def searched(
    task: Task,
    entry: Entry,
    chosen: Sequence[SearchRange],
    told: Sequence[tuple[samplers.Coordinates, float]],
    count: int,
) -> list[float]:
    """What TPE finds, trial by trial, after it was told some points; the default first where it was told none."""
    sampler = samplers.build(tpe(task.name), chosen, count, told)
    default = [{one.name: one.searched(one.default) for one in chosen}] if not told else []
    found: list[float] = []
    while len(found) < count:
        points = default + sampler.ask(min(BATCH, count - len(found)) - len(default))
        for point, loss in zip(points, batch := losses(task, entry, chosen, points), strict=True):
            sampler.tell(point, loss)
        found, default = found + batch, []
    return found


def near(shares: np.ndarray, rows: Sequence[Sequence[float]], count: int, seed: int) -> np.ndarray:
    """More points of the unit cube: each somewhere between two of the best of any two tasks, and a little off."""
    dice = np.random.default_rng(seed)
    best = np.array([np.argsort(row, kind="stable")[:BEST] for row in rows])
    tasks, ranks = dice.integers(len(best), size=(2, count)), dice.integers(BEST, size=(2, count))
    ends, part = shares[best[tasks, ranks]], dice.random((count, 1))
    centers = part * ends[0] + (1 - part) * ends[1]
    return np.clip(centers + REACH * dice.standard_normal(centers.shape), 0, 1)


def keep(path: Path, value: Any) -> None:
    """Whole or not at all: a run that is killed leaves no half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(value))
    partial.replace(path)


def once(path: Path, make: Any) -> Any:
    if not path.exists():
        keep(path, make())
    return json.loads(path.read_text())


def regrets(row: Sequence[float], best: float, middle: float) -> np.ndarray:
    scale = max(middle - best, 1e-12)
    return np.clip((np.asarray(row, dtype=float) - best) / scale, 0, WORST)


def middle(row: Sequence[float]) -> float:
    """The median, or where most failed that of those that did not."""
    found = float(np.median(row))
    return found if math.isfinite(found) else float(np.median([value for value in row if math.isfinite(value)]))


class Rule:
    """One rule's runs on all tasks."""

    def __init__(self, name: str, tasks: Sequence[tuple[str, Task]], points: int, folder: Path) -> None:
        self.entry, self.tasks, self.folder = CATALOGUE[name], tasks, folder / name
        self.chosen = choose(self.entry, tasks[0][1], None)
        self.spread = np.array(samplers.spread("sobol", len(self.chosen), points))
        self.count = points

    def run(self) -> None:
        """All that is missing: first the points, of which the lists are made, then what needs the lists."""
        for part in ("points", *PLACED):
            points = self.of(self.shares(part))
            for _, task in self.tasks:
                once(
                    self.path(part, task),
                    lambda task=task, points=points: losses(task, self.entry, self.chosen, points),
                )
        for _, task in self.tasks:
            once(self.path("tpe", task), lambda task=task: searched(task, self.entry, self.chosen, (), TPE_TRIALS))
        for family, task in self.tasks:
            once(self.path("after", task), lambda family=family, task=task: self._after(family, task))

    def of(self, shares: np.ndarray) -> list[samplers.Coordinates]:
        return [
            {one.name: one.at(share) for one, share in zip(self.chosen, row, strict=True)} for row in shares.tolist()
        ]

    def shares(self, part: str) -> np.ndarray:
        """A part's points in the unit cube: spread over it, or placed where one half of the families has good ones."""
        if part == "points":
            return self.spread
        rows = [self.read("points", task) for family, task in self.tasks if family in PLACED[part]]
        return near(self.spread, rows, self.count // 2, [*PLACED].index(part))

    @cached_property
    def points(self) -> list[samplers.Coordinates]:
        """All: those that were spread, then those that were placed by each half of the families."""
        return self.of(np.concatenate([self.shares(part) for part in ("points", *PLACED)]))

    def path(self, what: str, task: Task) -> Path:
        tasks = "" if what in ("points", "tpe") else len(self.tasks)  # what is placed and learned is so by all of them
        return self.folder / f"{what}-{self.count}-{tasks}-{task.name}.json"

    def read(self, what: str, task: Task) -> list[float]:
        found: list[float] = json.loads(self.path(what, task).read_text())
        return found

    def _after(self, family: str, task: Task) -> list[float]:
        """The first of the list that was learned without the task's family, and TPE which has seen them."""
        values = self.ends(task)
        ahead = self.order(family)[:AHEAD]
        told = [(self.points[place], values[place]) for place in ahead]
        more = searched(task, self.entry, self.chosen, told, TPE_TRIALS - AHEAD)
        return [values[place] for place in ahead] + more

    def ends(self, task: Task) -> list[float]:
        """Where each of the points ended."""
        return [loss for part in ("points", *PLACED) for loss in self.read(part, task)]

    def order(self, *without: str) -> list[int]:
        """Learned from the points alone, so that a list does not depend on what it is judged against."""
        few = self.count // 2
        known = [*range(self.count)]
        for place, half in enumerate(PLACED.values()):
            if not half & set(without):
                known += range(self.count + place * few, self.count + (place + 1) * few)
        own: dict[str, list[Any]] = {}
        for family, task in self.tasks:
            if family not in without:
                row = np.array(self.ends(task))
                own.setdefault(family, []).append(regrets(row, row.min(), middle(row[: self.count]))[known])
        return [known[place] for place in greedy(own, len(known))]

    def judged(self) -> dict[str, list[list[float]]]:
        """For each way a row a task: the regret of the best of the first k, k = 1, 2, ..."""
        names = ("list", "default, then list", "list, then TPE", "TPE", "default, then random", "random", "Sobol")
        ways: dict[str, list[list[float]]] = {name: [] for name in names}
        for family, task in self.tasks:
            row, tpe, after = self.ends(task), self.read("tpe", task), self.read("after", task)
            scale = (min(*row, *tpe, *after), middle(row[: self.count]))
            listed = regrets(row, *scale)[self.order(family)][:TPE_TRIALS]
            default = regrets(tpe[:1], *scale)  # TPE was given it first
            ways["list"].append(np.minimum.accumulate(listed).tolist())
            ways["default, then list"].append(np.minimum.accumulate([*default, *listed])[:TPE_TRIALS].tolist())
            own = regrets(row[: self.count], *scale)
            ways["list, then TPE"].append(np.minimum.accumulate(regrets(after, *scale)).tolist())
            ways["TPE"].append(np.minimum.accumulate(regrets(tpe, *scale)).tolist())
            after_default = expected_best(np.minimum(own, default), TPE_TRIALS - 1)  # TPE's first ten, over all draws
            ways["default, then random"].append([*default, *after_default])
            ways["random"].append(expected_best(own, TPE_TRIALS))
            ways["Sobol"].append(np.minimum.accumulate(own)[:TPE_TRIALS].tolist())
        return ways


def expected_best(values: np.ndarray, most: int) -> list[float]:
    """The mean over all ways to choose k of the points, without the order they came in."""
    rising, n = np.sort(values), len(values)
    result = []
    for k in range(1, most + 1):
        ways = np.array([math.comb(n - 1 - place, k - 1) for place in range(n)], dtype=float)
        result.append(float(rising @ ways / math.comb(n, k)))
    return result


def page(
    judged: Mapping[str, Mapping[str, list[list[float]]]], families: Sequence[str], about: Mapping[str, Any]
) -> str:
    """Mean regrets, and the paired differences that matter, with intervals. `families`: of each task."""
    lines = [
        "# A learned order of configurations, judged on families of tasks that were left out",
        "",
        f"`{about['command']}`: {about['tasks']} generated tasks of {about['families']} families, {about['runs']:,} "
        f"runs. {about['machine']}. Regret 0 is the best that any run of the rule found on the task, 1 the median of "
        "the points that were spread over the space.",
        "",
        "## Mean regret of the best of k",
        "",
        f"| rule | search | {' | '.join(f'k = {k}' for k in SHOWN)} |",
        f"|---|---|{'---:|' * len(SHOWN)}",
    ]
    for rule, ways in judged.items():
        for way, rows in ways.items():
            means = np.mean(rows, axis=0)
            cells = [f"{means[k - 1]:.3f}" if k <= len(means) else "" for k in SHOWN]
            lines.append(f"| `{rule}` | {way} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Paired differences over tasks (95 % t-intervals; below 0 the list is better)",
        "",
        f"| rule | {' | '.join(f'{way} of {k} less {other} of {n}' for way, k, other, n in PAIRS)} | "
        "k at which random is better |",
        f"|---|{'---:|' * (len(PAIRS) + 1)}",
    ]
    all_gaps = []
    for rule, ways in judged.items():
        own = {way: np.asarray(rows) for way, rows in ways.items()}
        gaps = [own[way][:, k - 1] - own[other][:, n - 1] for way, k, other, n in PAIRS]
        all_gaps.append(gaps)
        worse = [k + 1 for k, gap in enumerate((own["list"] - own["random"]).mean(0)) if gap > 0]
        lines.append(f"| `{rule}` | {' | '.join(map(interval, gaps))} | {ranges(worse) or 'none'} |")
    # Tasks of a family are alike: for what is said of kinds of task a family is one observation.
    means = np.mean(all_gaps, axis=0)
    by_family = [[pair[np.array(families) == name].mean() for name in dict.fromkeys(families)] for pair in means]
    lines.append(f"| all, over the families' means | {' | '.join(map(interval, by_family))} | |")
    return "\n".join([*lines, ""])


def interval(values: Sequence[float]) -> str:
    found = mean_interval([float(value) for value in values])
    return f"{found.mean:+.3f} ± {found.half:.3f}"


def ranges(numbers: Sequence[int]) -> str:
    """Whole numbers that rise, those in a row as one range.

    >>> ranges([3, 15, 16, 17])
    '3, 15 to 17'
    """
    rows: list[list[int]] = []
    for number in numbers:
        if rows and number == rows[-1][-1] + 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    return ", ".join(f"{row[0]} to {row[-1]}" if len(row) > 1 else str(row[0]) for row in rows)


def write(rules: Mapping[str, Rule], about: dict[str, Any]) -> None:
    """The lists that ship, learned from all families, and the page with its data."""
    judged = {name: rule.judged() for name, rule in rules.items()}
    shipped = {
        name: {
            "hyperparameters": [one.name for one in rule.chosen],
            "list": [[one.value(rule.points[place][one.name]) for one in rule.chosen] for place in rule.order()[:24]],
            "regret": [round(float(value), 3) for value in np.mean(judged[name]["list"], axis=0)[:24]],
        }
        for name, rule in rules.items()
    }
    keep(ROOT / "src" / "thalweg" / "lab" / "search" / "orders.json", {"made": about, "rules": shipped})
    results = ROOT / "benchmarks" / "results" / f"order-{about['date']}"
    rounded = {name: {way: np.round(rows, 4).tolist() for way, rows in ways.items()} for name, ways in judged.items()}
    keep(results.with_suffix(".json"), {"made": about, "best_of_k": rounded})
    families = [family for family, _ in next(iter(rules.values())).tasks]
    text = page(judged, families, about)
    results.with_suffix(".md").write_text(text)
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--each", type=int, default=4, help="tasks of every family")
    parser.add_argument("--points", type=int, default=64)
    parser.add_argument("--out", type=Path, default=ROOT / "studies" / "order")
    parser.add_argument("--write", action="store_true", help="write the lists of the rules that are done")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tasks = order_tasks.generated(asked.each)
    rules = {name: Rule(name, tasks, asked.points, asked.out) for name in asked.rules.split(",")}
    if not asked.write:
        for name, rule in rules.items():
            start = time.process_time()
            rule.run()
            print(f"{name}: {time.process_time() - start:.0f} s of one core", flush=True)
        return
    done = {n: rule for n, rule in rules.items() if all(rule.path("after", task).exists() for _, task in tasks)}
    about = {
        "command": f"python benchmarks/order.py --each {asked.each} --points {asked.points}",
        "date": time.strftime("%Y-%m-%d"),
        "each": asked.each,
        "points": asked.points,
        "tasks": len(tasks),
        "families": len(order_tasks.FAMILIES),
        "runs": len(done) * len(tasks) * (2 * asked.points + 2 * TPE_TRIALS - AHEAD),
        "seeds": {"tasks": order_tasks.SEED, "points": samplers.SEED, "runs": 0},
        "machine": f"Python {platform.python_version()}, torch {version('torch')}, Optuna {version('optuna')}",
    }
    write(done, about)


if __name__ == "__main__":
    main()
