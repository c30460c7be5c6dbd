"""The file of docs/evidence/: the studies of `evidence.py` without their curves, and what the lab says of them."""

from __future__ import annotations

import gzip
import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import machine
from thalweg.lab.judging.best_of import best_of
from thalweg.lab.judging.joint import build_joint_table
from thalweg.lab.judging.rows import Row
from thalweg.lab.judging.wording import status
from thalweg.lab.judging.wording.joint import joint_status
from thalweg.lab.results import Comparison
from thalweg.lab.search.configurations import Candidate, profile, ranked
from thalweg.lab.search.protocol import Protocol
from thalweg.lab.training.trial import Curve, Status, Trial

ROOT = Path(__file__).parents[1]
DATA = ROOT / "docs" / "evidence" / "evidence.json.gz"
WORST = 2.0  # the regret of what failed or is worse than that
Studies = Mapping[tuple[str, str], Comparison]  # by task and regime


def read(path: Path = DATA) -> Any:
    return json.loads(gzip.decompress(path.read_bytes()))


def save(
    path: Path,
    about: Mapping[str, Any],
    groups: Mapping[str, Sequence[str]],
    studies: Studies,
    cpus: Iterable[str] = (),
) -> None:
    """Whole or not at all; the same studies make the same bytes.

    Args:
        about: what else is to be told: the tasks, the rules, the regimes.
        groups: tasks that are judged together, by a name.
        cpus: what else than this machine's some of them were made on.
    """
    plain = {place: packed(study) for place, study in studies.items()}
    found = {place: unpacked(study) for place, study in plain.items()}
    scales = {task: scale([study for (name, _), study in found.items() if name == task]) for task, _ in found}
    joint: dict[str, dict[str, Any]] = {group: {} for group in groups}
    for group, names in groups.items():
        for regime in about["regimes"]:
            if own := {task: found[task, regime] for task in names if (task, regime) in found}:
                joint[group][regime] = together(own)
    made = {
        "date": time.strftime("%Y-%m-%d"),
        "versions": machine.versions(),
        "cpu": " and ".join(sorted({*cpus, machine.describe()["cpu"]})),
    }
    value = {
        "made": made,
        **about,
        "judged": {f"{task}/{regime}": judged(study, scales[task]) for (task, regime), study in found.items()},
        "together": joint,
        "studies": {"/".join(place): study for place, study in plain.items()},
    }
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    partial.replace(path)


def short(number: float | None) -> float | None:
    """Six digits; None for what is not finite."""
    return None if number is None or not math.isfinite(number) else float(f"{number:.6g}")


def packed(study: Comparison) -> dict[str, Any]:
    """Its spec, the configurations by rule, and a line a run."""
    configurations: dict[str, dict[int, Any]] = {}
    runs = []
    for trial in study.trials:
        configurations.setdefault(trial.optimizer, {})[trial.index] = trial.settings
        end = [short(number) for number in (trial.loss, trial.metric, trial.test_loss, trial.test_metric)]
        runs.append([trial.optimizer, trial.index, trial.phase, trial.seed, str(trial.status), *end])
    lists = {rule: [own.get(place) for place in range(max(own) + 1)] for rule, own in configurations.items()}
    task = study.spec["task"]
    where = os.path.relpath(task["from"], ROOT)  # wherever the repository stood
    return {"spec": {**study.spec, "task": {**task, "from": where}}, "configurations": lists, "runs": runs}


def unpacked(study: Mapping[str, Any]) -> Comparison:
    """The study again, as far as verdicts go: of each run's curve the last point."""
    trials = []
    for rule, index, phase, seed, ended, *numbers in study["runs"]:
        settings = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in study["configurations"][rule][index].items()
        }
        loss, metric = (math.nan if value is None else value for value in numbers[:2])
        curve = Curve([1], [math.nan], [loss], [metric])
        trials.append(
            Trial("", phase, index, rule, settings, seed, Status(ended), None, 1, curve, *numbers[2:], 0.0, 0.0)
        )
    return Comparison(Path(study["spec"]["task"]["name"]), study["spec"], {}, trials)


def spread(study: Comparison) -> dict[str, list[Candidate]]:
    """By rule the configurations that were chosen before any was tried, the default left out."""
    first = Protocol(**study.spec["protocol"]).first_look
    return {rule: [each for each in own if 0 < each.index < first] for rule, own in study.candidates.items()}


def scale(studies: Sequence[Comparison]) -> tuple[float, float]:
    """What regret 0 and 1 are on a task, lower is better: the best end on validation of any search of it, and the
    median one of the learning rates that were spread over the rules' ranges, in the first study that has some."""
    sign = -1.0 if studies[0].larger_is_better else 1.0
    ends = [sign * each.complete_metric for study in studies for own in study.candidates.values() for each in own]
    rows = ([each for own in spread(study).values() for each in own] for study in studies)
    first = next((row for row in rows if row), [])
    middle = [math.inf if math.isnan(each.complete_metric) else sign * each.complete_metric for each in first]
    return min(end for end in ends if not math.isnan(end)), median(middle) if middle else math.nan


def regret(candidate: Candidate, study: Comparison, ends: tuple[float, float]) -> float:
    """0 to 2: see `scale`. NaN where that has no extent."""
    value = (-1.0 if study.larger_is_better else 1.0) * candidate.complete_metric
    if math.isnan(value):
        return WORST
    share = (value - ends[0]) / (ends[1] - ends[0]) if ends[1] > ends[0] else math.nan
    return share if math.isnan(share) else min(WORST, max(0.0, share))


def judged(study: Comparison, ends: tuple[float, float]) -> dict[str, Any]:
    """What the lab says of a study, a rule a row, the leader first."""
    task, first = study.spec["task"], spread(study)
    rows = {
        row.optimizer: cell(row, place == 0, study, first[row.optimizer], ends) for place, row in enumerate(study.rows)
    }
    return {"metric": task["metric"], "larger": study.larger_is_better, "rows": rows}


def cell(
    row: Row, leader: bool, study: Comparison, first: Sequence[Candidate], ends: tuple[float, float]
) -> dict[str, Any]:
    """A rule of a study: what fresh seeds say, and the search in regrets."""
    gap, own = row.judgement, study.candidates[row.optimizer]
    best = ranked(own, study.larger_is_better)[0]
    wide = row.sensitivity
    return {
        "verdict": status(row, leader),
        "test": [short(row.test.mean), short(row.test.half)],
        "difference": [short(gap.difference.mean), short(gap.difference.half)] if gap else None,
        "more_seeds": gap.more_seeds if gap and gap.verdict == "undecided" else None,
        "settings": row.settings,
        "on_edge": row.on_edge,
        "decades": [short(wide.decades), wide.open_low, wide.open_high] if wide else None,
        "lr": best.rate if best.rate > 0 else None,
        "regret": short(regret(best, study, ends)),
        "default": short(regret(own[0], study, ends)),
        "by_lr": [[each.rate, short(regret(each, study, ends))] for each in profile(own, best, study.larger_is_better)],
        "best_of": [short(each.expected) for each in best_of([regret(each, study, ends) for each in first], False)],
    }


def together(studies: Mapping[str, Comparison]) -> dict[str, Any]:
    """The verdict over several tasks, a rule a row, the leader first; each task's margin and weight in it, and its
    share in the difference of those that are worse, in the median."""
    table = build_joint_table({name: study.judged for name, study in studies.items()})
    rows, shares = {}, []
    for place, row in enumerate(table.rows):
        gap = row.judgement.difference if row.judgement else None
        rows[row.optimizer] = {
            "verdict": joint_status(row, leader=place == 0),
            "difference": [short(gap.mean), short(gap.half)] if gap else None,
        }
        if row.judgement and row.judgement.verdict == "worse" and row.differences:
            parts = {name: table.weights[name] * each.mean for name, each in row.differences.items()}
            shares.append({name: part / sum(parts.values()) for name, part in parts.items()})
    tasks = {
        name: {
            "margin": short(study.judged.margin),
            "weight": short(table.weights[name]),
            "share": short(median(each[name] for each in shares)) if shares else None,
        }
        for name, study in studies.items()
    }
    return {"tasks": tasks, "rows": rows}
