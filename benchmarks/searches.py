"""One search in three ways: a plain Optuna script, Ray Tune with ASHA, and `thalweg tune`, each in its own process.

    python benchmarks/searches.py optuna digits 50 0      prints one line of JSON

All three search AdamW's learning rate, beta1 and weight decay over the same ranges, on the same data, model, epochs
and batch size, with the same number of trials, and may use both cores as they know how to. The first two are written
as one finds them in tutorials: torch's own optimizer, a loop over the batches, the accuracy told after each epoch.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

LR, BETA1, DECAY = (1e-5, 1e-1), (0.5, 0.99), (1e-5, 1e-1)


class Path:
    """What a search would recommend if it ended now, from moment to moment: its best whole training so far."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.best = float("-inf")
        self.steps: list[tuple[float, dict[str, float]]] = []

    def see(self, settings: dict[str, float], accuracy: float) -> None:
        if accuracy > self.best:
            self.best = accuracy
            self.steps.append((time.perf_counter() - self.start, settings))


def train(name: str, settings: dict[str, Any], seed: int, tell: Callable[[int, float], None]) -> float:
    """A plain training: the accuracy on validation at its end; `tell(epoch, accuracy)` after each epoch may raise."""
    import torch

    from thalweg.lab.task.load import load_task

    task = load_task(name)
    torch.manual_seed(seed)
    model = task.model()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings["lr"],
        betas=(settings["beta1"], 0.999),
        weight_decay=settings["weight_decay"],
    )
    accuracy = 0.0
    for epoch in range(task.epochs):
        model.train()
        for batch in task.sources["train"].batches(1000 * seed + epoch):
            inputs, labels = batch if task.augment is None else task.augment(batch)
            optimizer.zero_grad()
            task.loss(model(inputs), labels).backward()
            optimizer.step()
        model.eval()
        right = rows = 0
        with torch.no_grad():
            for inputs, labels in task.sources["validation"].batches(None):
                right += int((model(inputs).argmax(1) == labels).sum())
                rows += len(labels)
        accuracy = right / rows
        tell(epoch, accuracy)
    return accuracy


def by_optuna(name: str, trials: int, seed: int, path: Path) -> dict[str, Any]:
    """TPE and the median pruner, one trial after the other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        settings = {
            "lr": trial.suggest_float("lr", *LR, log=True),
            "beta1": 1 - trial.suggest_float("1-beta1", 1 - BETA1[1], 1 - BETA1[0], log=True),
            "weight_decay": trial.suggest_float("weight_decay", *DECAY, log=True),
        }

        def tell(epoch: int, accuracy: float) -> None:
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        trial.set_user_attr("settings", settings)
        return train(name, settings, seed, tell)

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner()
    )

    def see(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if trial.state == optuna.trial.TrialState.COMPLETE:
            path.see(trial.user_attrs["settings"], float(trial.value or 0))

    study.optimize(objective, n_trials=trials, callbacks=[see])
    return dict(study.best_trial.user_attrs["settings"])


def by_ray(name: str, trials: int, seed: int, path: Path) -> dict[str, Any]:
    """ASHA over random settings, a trial on each core."""
    import logging
    import os

    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    def trainable(config: dict[str, Any]) -> None:
        import torch

        torch.set_num_threads(1)
        train(name, plain(config), seed, lambda epoch, accuracy: tune.report({"accuracy": accuracy}))

    from thalweg.lab.task.load import load_task

    def plain(config: dict[str, float]) -> dict[str, float]:
        return {"lr": config["lr"], "beta1": 1 - config["one_less"], "weight_decay": config["weight_decay"]}

    class See(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            path.see(plain(trial.config), trial.last_result["accuracy"])

    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={
                "lr": tune.loguniform(*LR),
                "one_less": tune.loguniform(1 - BETA1[1], 1 - BETA1[0]),
                "weight_decay": tune.loguniform(*DECAY),
            },
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                num_samples=trials,
                scheduler=ASHAScheduler(max_t=load_task(name).epochs, grace_period=2),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[See()]),
        )
        best = tuner.fit().get_best_result().config
        ray.shutdown()
    return plain(best)


def by_thalweg(name: str, trials: int, seed: int, path: Path) -> dict[str, Any]:
    """TPE in batches with ASHA, side by side where it pays; then fresh seeds against the default, and the report."""
    import optuna

    import thalweg

    def plain(settings: dict[str, Any]) -> dict[str, float]:
        return {"lr": settings["lr"], "beta1": settings["betas"][0], "weight_decay": settings["weight_decay"]}

    def see(progress: thalweg.lab.Progress) -> None:
        trial = progress.trial
        if trial is not None and trial.phase == "search" and trial.done:
            path.see(plain(trial.settings), trial.metric)

    with tempfile.TemporaryDirectory() as folder:
        found = thalweg.tune(
            name,
            "adamw",
            method=optuna.samplers.TPESampler(seed=seed),
            hyperparameters={"lr": LR, "beta1": BETA1, "weight_decay": DECAY},
            trials=trials,
            batch=max(32, trials // 4),
            pruner="asha",
            finalists=1,
            finalist_seeds=5,
            out=f"{folder}/study",
            progress=see,
        )
        return plain(found.tuned.settings)


def main() -> None:
    """One side of the comparison, timed from after its imports to its recommendation."""
    side, name, trials, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    import torch  # noqa: F401

    from thalweg.lab.task.load import load_task

    load_task(name)
    search, libraries = {
        "thalweg": (
            by_thalweg,
            ("optuna", "thalweg.lab.verbs.tune", "thalweg.engines.cpu", "thalweg.lab.report.pages.tuning"),
        ),
        "optuna": (by_optuna, ("optuna",)),
        "ray": (by_ray, ("ray.tune",)),
    }[side]
    for library in (*libraries, "torch._dynamo"):  # which torch's own optimizers import when first made
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(library)
    path = Path()
    settings = search(name, trials, seed, path)
    print(json.dumps({"seconds": time.perf_counter() - path.start, "settings": settings, "path": path.steps}))


if __name__ == "__main__":
    main()
