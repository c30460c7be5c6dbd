"""Time to a recommendation for a training loop of one's own: `thalweg tune` against a plain Optuna script.

    python benchmarks/own_loop.py                        digits-cnn and charlm, two rounds
    python benchmarks/own_loop.py --tasks digits --trials 9 --epochs 9 --rounds 1      a look, a minute or two

Rerun the command to resume it: sides and rounds that are in its .jsonl are not run again.

Both tune AdamW's learning rate and weight decay of one and the same loop, with one worker and as many trials. Optuna:
TPE and its median pruner, told after each epoch. Ours: Optuna's TPE in rounds of nine and ASHA from the loop's own
checkpoints; its recommendation is told there ("so far the best"), which is where a plain Optuna script ends. Then two
fresh seeds for the best and the default, the verdict, and the report. The rounds alternate which side is first.
Then each side's recommendation trains on fresh seeds by the same loop: of ours the one that was told, and the line of
the verdict. What it learns is the built-in task's, but it is no `Task` here: no side has lanes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import Any

import optuna
import torch

import machine
import thalweg
from thalweg.lab.random.seeds import seed_everything
from thalweg.lab.task.data import to_device
from thalweg.lab.task.evaluation import evaluate
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task

RESULTS = Path(__file__).parent / "results"
RATES, DECAYS = (1e-4, 1e-1), (1e-3, 1.0)
FRESH = 7000
GOAL = 2.0


def loop_of(task: Task, epochs: int, steps: int | None = None) -> Callable[[Any], float]:
    """A plain loop over a task's data, with its own checkpoint after each epoch, of a pass or so many steps."""
    if steps is None and task.steps is not None:
        steps = task.steps // task.epochs

    def train(run: Any) -> float:
        model = task.build(run.seed)
        optimizer = run.optimizer(model)
        value = 0.0
        for epoch in range(run.restore(model=model, optimizer=optimizer) + 1, epochs + 1):
            model.train()
            for batch in islice(task.sources["train"].batches(1000 * run.seed + epoch), steps):
                batch = to_device(batch, task.device)
                batch = task.augment(batch) if task.augment else batch
                optimizer.zero_grad()
                task.compute_loss(model, batch).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            value = evaluate(task, model, task.sources["validation"])[1]
            run.save(epoch, model=model, optimizer=optimizer)
            run.report(epoch, value)
        return value

    return train


def spent() -> Callable[[], dict[str, float]]:
    """A function that tells the seconds since now, by the clock and of the processor: others may use the machine."""
    clock, processor = time.perf_counter(), time.process_time()
    return lambda: {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor}


def ours(train: Callable[[Any], float], direction: str, epochs: int, trials: int, round_: int) -> dict[str, Any]:
    """Seconds until `thalweg tune` tells the best of its search, and until its verdict is there; settings of both."""
    recommended: list[dict[str, float]] = []
    since = spent()

    def told(now: Any) -> None:
        if now.said.startswith("so far the best"):
            recommended.append(since())

    with tempfile.TemporaryDirectory() as folder:
        found = thalweg.tune(
            train, "adamw", direction=direction, steps=epochs, pruner="asha", method="tpe", trials=trials, batch=9,
            finalists=1, finalist_seeds=2, hyperparameters={"lr": RATES, "weight_decay": DECAYS}, on="alone",
            out=Path(folder) / f"study-{round_}", progress=told,
        )  # fmt: skip
        told_and_decided = {"recommended": recommended[0], "decided": since()}
        return {**told_and_decided, "settings": found.rows[0].settings, "verdict": found.verdict}


def optunas(train: Callable[[Any], float], direction: str, epochs: int, trials: int, round_: int) -> dict[str, Any]:
    """Seconds and settings of a plain script."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    class Told(thalweg.Run):
        trial: Any = None

        def report(self, step: int, value: float, **others: float) -> None:
            self.trial.report(float(value), step)
            if self.trial.should_prune():
                raise optuna.TrialPruned

        def save(self, step: int, **objects: Any) -> None:
            """A plain script of this kind has no checkpoint; that costs it nothing here."""

    def objective(trial: Any) -> float:
        settings = {"lr": trial.suggest_float("lr", *RATES, log=True),
                    "weight_decay": trial.suggest_float("weight_decay", *DECAYS, log=True)}  # fmt: skip
        run = Told("adamw", settings, seed=0)
        run.trial = trial
        seed_everything(0, "cpu")
        return train(run)

    since = spent()
    study = optuna.create_study(
        direction="minimize" if direction == "min" else "maximize",
        sampler=optuna.samplers.TPESampler(seed=round_), pruner=optuna.pruners.MedianPruner(),
    )  # fmt: skip
    study.optimize(objective, n_trials=trials)
    return {"recommended": since(), "settings": dict(study.best_params)}


def quality(train: Callable[[Any], float], settings: dict[str, Any], seeds: int) -> float:
    """What a recommendation ends with on fresh seeds."""
    ends = []
    for seed in range(FRESH, FRESH + seeds):
        seed_everything(seed, "cpu")
        with tempfile.TemporaryDirectory() as folder:
            ends.append(float(train(thalweg.Run("adamw", settings, seed=seed, folder=folder))))
    return fmean(ends)


def measure(
    name: str, epochs: int | None, steps: int | None, trials: int, rounds: int, seeds: int, kept: Path
) -> dict[str, Any]:
    """All rounds of a task; those that are kept from before are not run again."""
    task = load_task(name)
    epochs = epochs or task.epochs
    train, direction = loop_of(task, epochs, steps), "max" if task.larger_is_better else "min"
    seed_everything(0, "cpu")
    loop_of(task, 1, 3)(thalweg.Run("adamw", {}))  # kernels and imports are paid for before either side begins
    sides = {"thalweg": ours, "optuna": optunas}
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    rows = map(json.loads, kept.read_text().splitlines()) if kept.exists() else ()
    before = {json.dumps(row["of"]): row for row in rows}
    for round_ in range(rounds):
        order = list(sides) if round_ % 2 == 0 else list(sides)[::-1]
        for side in order:
            of = [name, epochs, steps, trials, seeds, round_, side]
            result = before.get(json.dumps(of))
            if result is None:
                result = {"of": of, **sides[side](train, direction, epochs, trials, round_)}
                result["quality"] = quality(train, result["settings"], seeds)
                with kept.open("a") as file:
                    print(json.dumps(result), file=file)
                print(result, f"load {machine.load()}", flush=True)
            found[side].append(result)
    return {"task": name, "metric": task.metric_name, "direction": direction, "epochs": epochs, "steps": steps,
            "trials": trials, "seeds": seeds, "sides": found}  # fmt: skip


def table(results: list[dict[str, Any]]) -> str:
    """A row a task and a side; seconds by the clock and, in brackets, of the processor, by which they are compared."""
    lines = ["| task | side | seconds to a recommendation | times as fast | on fresh seeds | seconds to a verdict |",
             "|---|---|---:|---:|---:|---:|"]  # fmt: skip
    for one in results:
        theirs = median(each["recommended"]["processor"] for each in one["sides"]["optuna"])
        for side, rounds in one["sides"].items():
            faster = theirs / median(each["recommended"]["processor"] for each in rounds)
            decided = seconds(rounds, "decided") if "decided" in rounds[0] else "gives none"
            what = f"{one['task']}, {one['epochs']} epochs{of_steps(one)}, {one['trials']} trials"
            lines.append(
                f"| {what} | {side} | {seconds(rounds, 'recommended')} | {faster:.2f} | {one['metric']} "
                f"{fmean(each['quality'] for each in rounds):.4g} | {decided} |"
            )
    return "\n".join(lines)


def seconds(rounds: list[dict[str, Any]], when: str) -> str:
    clock, processor = (median(each[when][of] for each in rounds) for of in ("clock", "processor"))
    return f"{clock:.1f} ({processor:.1f})"


def of_steps(one: dict[str, Any]) -> str:
    return "" if one["steps"] is None else f" of {one['steps']} steps"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default="digits-cnn,charlm", help="charlm:20 for 20 steps an epoch")
    parser.add_argument("--trials", type=int, default=27)
    parser.add_argument(
        "--epochs", type=int, default=None, help="instead of the task's own; at least 9 for ASHA's rungs"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5, help="fresh ones for each recommendation")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    stem = chosen.out / f"own-loop-{datetime.date.today()}"
    numbers, kept = (chosen.trials, chosen.rounds, chosen.seeds), stem.with_suffix(".jsonl")
    results = []
    for name, _, steps in (given.partition(":") for given in chosen.tasks.split(",")):
        results.append(measure(name, chosen.epochs, int(steps) if steps else None, *numbers, kept))
    there = machine.describe()
    stem.with_suffix(".json").write_text(
        json.dumps({"machine": there, "results": results}, indent=1, default=str) + "\n"
    )
    rounds = f"{chosen.rounds} round{'s' * (chosen.rounds > 1)}"
    text = (
        f"# A loop of one's own: time to a recommendation\n\n{table(results)}\n\nGoal: {GOAL:g} times as fast. One "
        "worker, one thread. Seconds by the clock and, in brackets, of the processor, by which they are compared: the "
        f"machine's load was {machine.load()}. Medians of {rounds}; on {chosen.seeds} fresh seeds the mean.\n"
    )
    stem.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
