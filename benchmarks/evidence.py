"""All rules on tasks of different kinds, by `thalweg.compare` in three regimes, and what docs/evidence/ is made of.

    nice python benchmarks/evidence.py                          goes on where it was stopped
    python benchmarks/evidence.py --seeds 16                    more fresh seeds: adds the missing ones
    python benchmarks/evidence.py --write                       puts what there is into docs/evidence/evidence.json.gz
    python docs/generate/evidence_pages.py                            the pages of that file
    python benchmarks/evidence.py --replay attention adamw      a cell again, run by run, beside the written numbers

A cell is a task, a regime and a rule. Within a regime every rule has the same number of runs; fresh seeds decide.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import evidence_data
import evidence_tasks
import thalweg
from thalweg.catalogue import CATALOGUE, COMBINED, Entry
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.results import Comparison, read_answer
from thalweg.lab.study.optimizers import check_fit
from thalweg.lab.task.load import load_task
from thalweg.lab.training.agreement import CLOSE
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Status

ROOT = Path(__file__).parents[1]
TASKS = "benchmarks/evidence_tasks.py"
KINDS = {
    "valleys of two numbers": ("ravine", "rosenbrock"),
    "linear models": ("logistic", "rare_classes"),
    "perceptrons": ("perceptron", "table", "wrong_labels", "autoencoder"),
    "convolutions": ("convolutions", "images"),
    "sequences": ("recurrent", "attention"),
    "coordinates and factors": ("coordinates", "factors"),
}
REGIMES: dict[str, dict[str, Any]] = {
    "defaults": {"trials": 1, "hyperparameters": "lr"},
    "lr tuned": {"trials": 8, "hyperparameters": "lr"},
    "all tuned": {"trials": 16, "hyperparameters": "lr,beta1,beta2,eps,weight_decay"},
}
SEEDS = 5  # fresh ones


def rules(names: str | None) -> list[Entry]:
    return [Entry.of(name) for name in (names.split(",") if names else (*CATALOGUE, *COMBINED))]


def refusals(task: Any, entries: Sequence[Entry]) -> dict[str, str]:
    """Why a rule cannot step a task's model, by rule: it says so, or its first two steps do."""
    found = {}
    for entry in entries:
        try:
            check_fit(task, [entry])
        except LabError as error:
            found[entry.name] = str(error).partition(f"{entry.name}: ")[2].partition("; ")[0]
            continue
        tried = run_trial(task, Job("", "search", 0, entry, Configuration(entry.name, {}, 0), task.epochs, steps=2))
        if tried.status is Status.CRASHED:
            found[entry.name] = str(tried.message).partition("; ")[0]
    return found


def finished(folder: Path, seeds: int) -> bool:
    with suppress(StudyError):
        return int(read_answer(folder).spec["protocol"]["finalist_seeds"]) >= seeds  # type: ignore[attr-defined]
    return False


def run(folder: Path, tasks: Sequence[str], regimes: Sequence[str], entries: Sequence[Entry], seeds: int) -> None:
    """Every study that is not finished, a regime at a time: what is stopped has the simpler ones of all tasks."""
    for regime in regimes:
        for name in tasks:
            out = place(folder, name, regime)
            if finished(out, seeds):
                continue
            task = load_task(f"{TASKS}:{name}")
            refused = refusals(task, entries)
            able = [entry for entry in entries if entry.name not in refused]
            clock, start = time.monotonic(), time.process_time()
            found = thalweg.compare(
                f"{TASKS}:{name}", able, finalists=1, finalist_seeds=seeds, out=out, **REGIMES[regime]
            )
            took = f"{time.process_time() - start:.0f} s of one core, {time.monotonic() - clock:.0f} s by the clock"
            print(f"{regime}, {name}: {len(found.trials)} runs, {took}", flush=True)


def place(folder: Path, name: str, regime: str) -> Path:
    return folder / name / regime.replace(" ", "_")


def studies(folder: Path, tasks: Sequence[str]) -> Iterator[tuple[str, str, Comparison]]:
    """Those that are finished."""
    for name in tasks:
        for regime in REGIMES:
            with suppress(StudyError):
                answer = read_answer(place(folder, name, regime))
                assert isinstance(answer, Comparison)
                yield name, regime, answer


def write(folder: Path, tasks: Sequence[str], entries: Sequence[Entry], to: Path) -> None:
    """The data file: the studies that are finished, and of those it has already what was not made anew."""
    before = evidence_data.read(to) if to.exists() else {"studies": {}, "tasks": {}, "made": {"cpu": ""}}
    kept = {tuple(place.split("/")): evidence_data.unpacked(study) for place, study in before["studies"].items()}
    anew = {(name, regime): study for name, regime, study in studies(folder, tasks)}
    found = kept | anew
    kinds = {name: kind for kind, names in KINDS.items() for name in names}
    told = dict(before["tasks"])
    for name in {name for name, _ in anew}:
        task = load_task(f"{TASKS}:{name}")
        said = getattr(evidence_tasks, name).__doc__
        told[name] = {"kind": kinds[name], "about": said, "steps": task.steps, "refusals": refusals(task, entries)}
    about = {"regimes": REGIMES, "rules": [entry.name for entry in entries]}
    about["tasks"] = {name: told[name] for name in kinds if name in {name for name, _ in found}}
    evidence_data.save(to, about, KINDS, found, filter(None, before["made"]["cpu"].split(" and ")))
    runs = sum(len(study.trials) for study in found.values())
    print(f"{to}: {to.stat().st_size:,} bytes, {len(found)} studies, {runs:,} runs")


def replay(data: Mapping[str, Any], name: str, regime: str, rule: str) -> list[tuple[int, Any, Any]]:
    """The runs on fresh seeds of a cell again: seed, the written test value, the one that it gives now."""
    study = data["studies"][f"{name}/{regime}"]
    task = load_task(f"{TASKS}:{name}")
    pairs = []
    for trial in evidence_data.unpacked(study).trials:
        if trial.optimizer == rule and trial.phase == "final":
            setting = Configuration(rule, trial.settings, trial.seed)
            again = run_trial(task, Job("", "final", trial.index, Entry.of(rule), setting, task.epochs))
            pairs.append((trial.seed, trial.test_metric, again.test_metric))
    return pairs


def same(pairs: Sequence[tuple[int, Any, Any]]) -> bool:
    """As far as six digits go."""
    return bool(pairs) and all(
        before == now or (None not in (before, now) and math.isclose(before, now, rel_tol=CLOSE))
        for _, before, now in pairs
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [name for names in KINDS.values() for name in names]
    parser.add_argument("--tasks", default=",".join(every))
    parser.add_argument("--rules", help="all of the catalogue, if not given")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="fresh seeds of each finalist")
    parser.add_argument("--regimes", default=",".join(REGIMES))
    parser.add_argument("--out", type=Path, default=ROOT / "studies" / "evidence")
    parser.add_argument("--data", type=Path, default=evidence_data.DATA)
    parser.add_argument("--write", action="store_true", help="put the finished studies into the data file")
    parser.add_argument("--replay", nargs=2, metavar=("TASK", "RULE"))
    parser.add_argument("--regime", default="all tuned", choices=REGIMES)
    asked = parser.parse_args()
    os.chdir(ROOT)
    torch.set_num_threads(1)
    for option, names, known in (("--tasks", asked.tasks, every), ("--regimes", asked.regimes, [*REGIMES])):
        if wrong := [name for name in names.split(",") if name not in known]:
            parser.error(f"{option}: got {wrong[0]!r}; must be of {', '.join(known)}")
    if asked.write and asked.rules:
        parser.error("--rules: goes with runs; the file is of all rules, and would lose the others")
    if asked.replay:
        name, rule = asked.replay
        data = evidence_data.read(asked.data)
        if rule not in data["judged"].get(f"{name}/{asked.regime}", {"rows": {}})["rows"]:
            parser.error(f"--replay: there is no cell of {name}, {asked.regime}, {rule}")
        pairs = replay(data, name, asked.regime, rule)
        print("seed, as written, now")
        for pair in pairs:
            print(*pair)
        print("the same" if same(pairs) else "not the same")
        return 0 if same(pairs) else 1
    tasks, entries = asked.tasks.split(","), rules(asked.rules)
    if asked.write:
        write(asked.out, tasks, entries, asked.data)
    else:
        run(asked.out, tasks, asked.regimes.split(","), entries, asked.seeds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
