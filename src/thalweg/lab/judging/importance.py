"""Which hyperparameters mattered in a search: the share of the metric's variance that each explains.

Functional ANOVA over a random forest (Hutter, Hoos and Leyton-Brown 2014, ICML), as Optuna has it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

LEAST = 12  # configurations: of fewer a forest says what it likes


def importances(
    configurations: Sequence[tuple[Mapping[str, Any], float]], searched: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """The share of each hyperparameter, the most important first; empty where there is too little to tell.

    Args:
        configurations: the values that were tried and the metric each ended at; without those that failed.
        searched: by name the range, as a study's spec has it.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = [(values, end) for values, end in configurations if set(searched) <= set(values) and math.isfinite(end)]
    if len(known) < LEAST or len(searched) < 2 or len({end for _, end in known}) < 2:
        return {}
    study = optuna.create_study()
    distributions = {name: _distribution(optuna, name, one, known) for name, one in searched.items()}
    for values, end in known:
        params = {name: values[name] for name in searched}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=end))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
        except (RuntimeError, ValueError, ZeroDivisionError):  # of a search without any variance
            return {}


def _distribution(
    optuna: Any, name: str, one: Mapping[str, Any], known: Sequence[tuple[Mapping[str, Any], float]]
) -> Any:
    if options := one.get("options"):
        return optuna.distributions.CategoricalDistribution(options)
    values = [float(values[name]) for values, _ in known]
    low, high = min(values), max(values)
    return optuna.distributions.FloatDistribution(low, high if high > low else low + 1e-12, log=low > 0)
