"""Giving a run up while it trains, by one of Optuna's pruners that is told how earlier runs went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.lab.errors import LabError
from thalweg.lookup import must_be

PRUNERS = ("median", "percentile", "halving")


@dataclass(frozen=True)
class Pruning:
    """What one run is measured by: the curves of those that had ended when it was asked for.

    It travels with the job, so that a run is given up or not whatever machine it is on and whoever trains beside it,
    and a replay ends where the run ended.

    Args:
        name: one of `PRUNERS`.
        curves: of each earlier run its (step, value) pairs.
        larger_is_better: which way the values go.
    """

    name: str
    curves: tuple[tuple[tuple[int, float], ...], ...]
    larger_is_better: bool

    def over(self, steps: Sequence[int], values: Sequence[float]) -> bool:
        """Whether a run that has come so far is to be given up."""
        if not self.curves or not steps:
            return False
        study, trial = self._study(steps, values)
        return bool(pruner(self.name).prune(study, trial))

    def _study(self, steps: Sequence[int], values: Sequence[float]) -> tuple[Any, Any]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize" if self.larger_is_better else "minimize")
        for curve in self.curves:
            study.add_trial(optuna.trial.create_trial(value=curve[-1][1], intermediate_values=dict(curve)))
        running = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING, intermediate_values=dict(zip(steps, values, strict=True))
        )
        study.add_trial(running)
        return study, study.get_trials(deepcopy=False)[-1]


def pruner(name: str) -> Any:
    """Optuna's pruner of this name.

    Raises:
        LabError: there is none.
    """
    if name not in PRUNERS:
        raise LabError(f"pruner: got {name!r}{must_be(name, PRUNERS)}")
    try:
        from optuna import pruners
    except ModuleNotFoundError:
        raise LabError("pruner: optuna is not installed: pip install 'thalweg[lab]'") from None
    made: dict[str, Callable[[], Any]] = {
        "median": lambda: pruners.MedianPruner(n_startup_trials=4),
        "percentile": lambda: pruners.PercentilePruner(25.0, n_startup_trials=4),
        "halving": pruners.SuccessiveHalvingPruner,
    }
    return made[name]()
