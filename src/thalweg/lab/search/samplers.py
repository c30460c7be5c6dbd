"""How the next settings are chosen: a grid, at random, spread evenly, or by one of Optuna's samplers."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from thalweg.lab.arguments import need
from thalweg.lab.errors import LabError
from thalweg.lab.random.seeds import derive
from thalweg.lab.search.hyperparameters import SearchRange
from thalweg.lookup import must_be

LEARNED = "learned"
SPREAD = ("grid", "random", "sobol", "halton")
OPTUNA = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "qmc": "QMCSampler",
}
METHODS = (LEARNED, *SPREAD, *OPTUNA)
SEED = 0  # the same command asks for the same settings

Coordinates = dict[str, float]  # a number on the searched scale for each hyperparameter


class Sampler(ABC):
    """Asked for the next settings, told how the last ones ended. The same answers give the same questions."""

    @abstractmethod
    def ask(self, count: int) -> list[Coordinates]:
        """The next settings; fewer where there are no more."""

    def tell(self, coordinates: Coordinates, score: float, pruned_at: int | None = None) -> None:  # noqa: B027
        """How a setting ended, less is better: inf for one that failed. In the order they were asked for.

        Args:
            pruned_at: the epochs after which it was given up, with the score it had then.
        """


class Spread(Sampler):
    """Settings that do not depend on what was found."""

    def __init__(self, method: str, hyperparameters: Sequence[SearchRange], count: int) -> None:
        self.remaining = [
            {
                hyperparameter.name: hyperparameter.at(share)
                for hyperparameter, share in zip(hyperparameters, shares, strict=True)
            }
            for shares in spread(method, len(hyperparameters), count)
        ]

    def ask(self, count: int) -> list[Coordinates]:
        next_ones, self.remaining = self.remaining[:count], self.remaining[count:]
        return next_ones


def spread(method: str, dimensions: int, count: int, seed: int = SEED) -> list[list[float]]:
    """Points of the unit cube. More of them begin with the same ones, but for a grid."""
    import numpy as np
    from scipy.stats import qmc

    seed = derive(seed, method) % 2**32
    if method == "grid":
        return _grid(dimensions, count)
    if method == "random":
        return np.random.default_rng(seed).random((count, dimensions)).tolist()  # type: ignore[no-any-return]
    kind = qmc.Sobol if method == "sobol" else qmc.Halton
    engine = kind(dimensions, scramble=True, seed=seed)
    if method == "sobol":  # drawn in whole powers of two, or scipy warns that it is not balanced
        return engine.random_base2(max(0, math.ceil(math.log2(max(1, count)))))[:count].tolist()  # type: ignore[no-any-return]
    return engine.random(count).tolist()  # type: ignore[no-any-return]


def _grid(dimensions: int, count: int) -> list[list[float]]:
    """The largest grid of at most `count` points: as many levels for each, the first ones get what is left."""
    levels = [max(1, math.floor(count ** (1 / dimensions) + 1e-9))] * dimensions
    for axis in range(dimensions):
        while math.prod(levels) // levels[axis] * (levels[axis] + 1) <= count:
            levels[axis] += 1
    axes = [[i / (n - 1) for i in range(n)] if n > 1 else [0.5] for n in levels]
    return [list(candidate) for candidate in product(*axes)]


class Optuna(Sampler):
    """One of Optuna's samplers, by ask-and-tell on a study in memory."""

    def __init__(
        self, method: Any, hyperparameters: Sequence[SearchRange], known: Sequence[tuple[Coordinates, float]] = ()
    ) -> None:
        optuna = need("optuna", "lab")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna = optuna
        sampler = _sampler(method)
        self.space = {hyperparameter.name: _distribution(optuna, hyperparameter) for hyperparameter in hyperparameters}
        self.study = optuna.create_study(sampler=sampler, direction="minimize")
        self.open: list[tuple[Coordinates, Any]] = []
        for coordinates, score in known:
            self._add(coordinates, score)

    def ask(self, count: int) -> list[Coordinates]:
        next_ones = [self.study.ask(self.space) for _ in range(count)]
        self.open += [(dict(trial.params), trial) for trial in next_ones]
        return [dict(trial.params) for trial in next_ones]

    def tell(self, coordinates: Coordinates, score: float, pruned_at: int | None = None) -> None:
        result = next((pair for pair in self.open if pair[0] == coordinates), None)
        if result is None:
            self._add(coordinates, score)
            return
        self.open.remove(result)
        trial = result[1]
        if pruned_at is None:
            self.study.tell(trial, score)
        else:
            trial.report(score, pruned_at)
            self.study.tell(trial, state=self.optuna.trial.TrialState.PRUNED)

    def _add(self, coordinates: Coordinates, score: float) -> None:
        """What nobody asked for: the default setting, points known from elsewhere."""
        made = self.optuna.trial.create_trial(params=dict(coordinates), distributions=self.space, value=score)
        self.study.add_trial(made)


class Ahead(Optuna):
    """Given configurations first; then TPE, which was told how they ended."""

    def __init__(
        self,
        first: Sequence[Coordinates],
        hyperparameters: Sequence[SearchRange],
        known: Sequence[tuple[Coordinates, float]] = (),
    ) -> None:
        super().__init__("tpe", hyperparameters, known)
        self.first = list(first)

    def ask(self, count: int) -> list[Coordinates]:
        given, self.first = self.first[:count], self.first[count:]
        return given + super().ask(count - len(given))


def _distribution(optuna: Any, hyperparameter: SearchRange) -> Any:
    if hyperparameter.options:
        return optuna.distributions.CategoricalDistribution([float(i) for i in range(len(hyperparameter.options))])
    low, high = hyperparameter.low, hyperparameter.high
    return optuna.distributions.FloatDistribution(low, high, log=not hyperparameter.linear)


def build(
    method: Any,
    hyperparameters: Sequence[SearchRange],
    count: int,
    known: Sequence[tuple[Coordinates, float]] = (),
    first: Sequence[Coordinates] = (),
) -> Sampler:
    """The sampler of this name, for at most `count` settings; `first` are those of a learned order.

    Raises:
        LabError: for a name that is none, or known points where the method learns from none.
    """
    name = name_of(method)
    if name in SPREAD:
        if known:
            allowed = ", ".join((LEARNED, *OPTUNA))
            raise LabError(f"from: method {name!r} learns from no points; must be {allowed}")
        return Spread(name, hyperparameters, count)
    return Ahead(first, hyperparameters, known) if name == LEARNED else Optuna(method, hyperparameters, known)


def name_of(method: Any) -> str:
    """How a method is called in a spec; one of Optuna's sampler objects by its class.

    Raises:
        LabError: for what is none.
    """
    if isinstance(method, str):
        name = method.lower().removesuffix("sampler")
        if name == LEARNED or name in SPREAD or name in OPTUNA:
            return name
    elif type(method).__module__.startswith("optuna") or hasattr(method, "sample_relative"):
        return type(method).__name__
    allowed = must_be(method, METHODS)
    raise LabError(f"method: got {method!r}{allowed}, or one of Optuna's samplers")


def _sampler(method: Any) -> Any:
    if not isinstance(method, str):
        return method
    name = name_of(method)
    options: Mapping[str, Any] = {"seed": derive(SEED, name) % 2**32}
    if name == "tpe":
        options = {**options, "multivariate": True, "constant_liar": True}
    if name == "qmc":
        options = {**options, "scramble": True}
    if name == "cmaes":
        need("cmaes", "lab")  # which Optuna imports in the middle of a search
    optuna = need("optuna", "lab")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return getattr(optuna.samplers, OPTUNA[name])(**options)
