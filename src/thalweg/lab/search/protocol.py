"""The protocol: how many trials, which learning rates, which seeds. The same for every optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from thalweg.lab.arguments import search_seeds, seconds
from thalweg.lab.errors import LabError
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.search.hyperparameters import SearchRange
from thalweg.lab.search.samplers import spread
from thalweg.lookup import listed, must_be

TUNABLE = ("lr", "beta1", "beta2", "eps", "weight_decay")


@dataclass(frozen=True)
class Protocol:
    """A fair comparison in numbers.

    Args:
        trials: settings tried for each optimizer: its default, log-spaced ones, a second look.
        seeds: seeds each setting is tried on in the search.
        finalists: settings of each optimizer that go on to fresh seeds.
        finalist_seeds: fresh seeds for each finalist; only these decide.
        alpha: how often a verdict may be wrong, over all optimizers together.
        hyperparameters: what is tuned, of each optimizer those that it has: lr, beta1 (or momentum), beta2, eps,
            weight_decay.
        budget: seconds the whole may take; the numbers above were cut to fit. None: as long as it takes.
    """

    preset: str = "quick"
    trials: int = 8
    seeds: int = 1
    finalists: int = 1
    finalist_seeds: int = 5
    alpha: float = 0.05
    hyperparameters: tuple[str, ...] = ("lr",)
    budget: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hyperparameters", tuple(self.hyperparameters))  # a list, where it comes from JSON

    @classmethod
    def of(cls, preset: str, **changes: Any) -> Protocol:
        """A preset with some of its numbers changed; None leaves one as it is.

        Raises:
            LabError: for an unknown preset or a number that cannot be.
        """
        if preset not in PRESETS:
            raise LabError(f"preset: got {preset!r}{must_be(preset, PRESETS)}")
        allowed = {field.name for field in fields(cls)} - {"preset"}
        changes = {name: value for name, value in changes.items() if value is not None}
        for name, value in list(changes.items()):
            if name not in allowed:
                raise LabError(f"{name}: no number of the protocol{must_be(name, sorted(allowed))}")
            if name == "alpha":
                if not 0 < value < 1:
                    raise LabError(f"alpha: got {value!r}; must lie between 0 and 1")
            elif name == "hyperparameters":
                changes["hyperparameters"] = _hyperparameters(value)
            elif name == "budget":
                changes["budget"] = seconds("budget", value)
            elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise LabError(f"{name}: got {value!r}; must be a whole number of at least 1")
        protocol = replace(PRESETS[preset], **changes)
        search_seeds(protocol.seeds)
        return replace(protocol, finalists=min(protocol.finalists, protocol.trials))

    @property
    def first_look(self) -> int:
        """How many of the trials are chosen before any was run, the default among them."""
        return self.trials - self.second_look

    @property
    def second_look(self) -> int:
        """How many of the trials look closer at the best so far, or beyond the edge of the range."""
        return max(2, self.trials // 6) if self.trials >= 5 else 0

    @property
    def closer_looks(self) -> list[int]:
        """How many of these go at a time: the later ones know how the first ended."""
        half = (self.second_look + 1) // 2
        return [count for count in (half, self.second_look - half) if count]

    @property
    def search_seeds(self) -> range:
        return range(self.seeds)

    @property
    def fresh_seeds(self) -> range:
        return range(FRESH, FRESH + self.finalist_seeds)


def _hyperparameters(wanted: Any) -> tuple[str, ...]:
    names = tuple(listed(wanted)) if isinstance(wanted, str) else tuple(wanted)
    if "lr" not in names or not set(names) <= set(TUNABLE) or len(set(names)) < len(names):
        raise LabError(f"hyperparameters: got {wanted!r}; must be lr, and any of {', '.join(TUNABLE[1:])}")
    return tuple(name for name in TUNABLE if name in names)


PRESETS = {
    "quick": Protocol(),
    "standard": Protocol("standard", trials=25, finalists=2, finalist_seeds=10),
    "thorough": Protocol("thorough", trials=75, finalists=2, finalist_seeds=10),
}


def first_look(default: float, search: tuple[float, float] | None, count: int) -> list[float]:
    """The default, then `count - 1` log-spaced learning rates over the search range, ends included.

    A rule without a range is searched a decade and a half to either side of its default.
    """
    low, high = search or (default * 10**-1.5, default * 10**1.5)
    others = count - 1
    spaced = (
        [low * (high / low) ** (i / (others - 1)) for i in range(others)]
        if others > 1
        else [math.sqrt(low * high)] * others
    )
    step = math.log(high / low) / max(1, others - 1)
    result = [default]
    for rate in spaced:
        if (
            default > 0 and abs(math.log(rate / default)) < step / 20
        ):  # the default stands on the grid: do not train it twice
            rate *= math.exp(step / 2 if rate * 1.0001 < high else -step / 2)
        result.append(_short(rate))
    return list(dict.fromkeys(result))


def joint_look(hyperparameters: Sequence[SearchRange], rates: Sequence[float]) -> list[dict[str, float]]:
    """Values for all hyperparameters: the default first, then the given learning rates, the others spread evenly.

    Sobol points in the order of their first coordinate, which gives way to the learning rates: these stay as well
    spread as when they are tuned alone, and any stretch of them meets all values of the other hyperparameters.
    """
    result = [{hyperparameter.name: hyperparameter.default for hyperparameter in hyperparameters}]
    places = sorted(spread("sobol", len(hyperparameters), len(rates) - 1))
    for rate, position in zip(rates[1:], places, strict=True):
        others = {
            hyperparameter.name: hyperparameter.value(hyperparameter.at(share))
            for hyperparameter, share in zip(hyperparameters, position, strict=True)
        }
        result.append({**others, "lr": rate})
    return result


def second_look(rates_tried: Sequence[float], best: float | None, count: int, near: float = 0.0) -> list[float]:
    """Learning rates around the best so far; a decade on from it where it is the lowest or highest tried.

    Where nothing finished (`best` is None), smaller ones than any tried. What lies within `near` decades of the lowest
    or highest counts as that: its neighbors may look worse only for their other hyperparameters.
    """
    rates = sorted(rate for rate in rates_tried if rate > 0)
    if not rates or count == 0:
        return []
    if best is None or best <= rates[0] * 10**near:
        return [_short(rates[0] * 10 ** -(j / count)) for j in range(1, count + 1)]
    if best >= rates[-1] / 10**near:
        return [_short(rates[-1] * 10 ** (j / count)) for j in range(1, count + 1)]
    position = rates.index(best)
    above = (count + 1) // 2
    if count == 1:  # the wider gap; of two alike the one above, where rates are best just before they are too large
        above = int(rates[position + 1] / best > 0.98 * best / rates[position - 1])
    return _between(best, rates[position + 1], above) + _between(rates[position - 1], best, count - above)


def _between(low: float, high: float, count: int) -> list[float]:
    return [_short(low * (high / low) ** (j / (count + 1))) for j in range(1, count + 1)]


def _short(rate: float) -> float:
    """Three digits: a learning rate that one can read and paste."""
    return float(f"{rate:.3g}")
