"""The hyperparameters of an optimizer: what can be tuned beside the learning rate, over which range, on which scale."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from thalweg.lab.errors import LabError
from thalweg.lab.task.own_loop import OwnLoop
from thalweg.lookup import did_you_mean, listed

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.task.task import Task

# Ranges of the AlgoPerf benchmark (Dahl et al. 2023, arXiv:2306.07179) where a rule declares none.
BETA1, MOMENTUM, DECAY = (2e-2, 0.5), (5e-3, 0.3), (5e-3, 1.0)
COUPLED = (1e-5, 1e-1)  # L2 joins the gradient: a decay of 1 drowns it
ALSO_AVERAGES = {"alpha": "rmsprop", "rho": "adadelta"}  # weights of running means that are not called beta
BATCH_REACH = 4  # times the task's own batch size, and a part of it


@dataclass(frozen=True)
class SearchRange:
    """A value to tune. It is searched on a logarithmic scale between `low` and `high`; where `complement`, that is of
    1 - value: 0.9 and 0.99 are a decade apart. `linear`: on a plain scale; `options`: one of these, by its place.

    `default` is None where only the user's own loop knows it.
    """

    name: str
    low: float
    high: float
    default: Any
    setting: str  # the optimizer's argument
    index: int | None = None  # in a tuple such as betas
    complement: bool = False
    linear: bool = False
    whole: bool = False
    options: tuple[Any, ...] = ()
    of_loop: bool = False  # the user's own loop asks for it, not the optimizer

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value, as the optimizer gets them."""
        return (round(1 - self.high, 9), round(1 - self.low, 9)) if self.complement else (self.low, self.high)

    @property
    def range(self) -> dict[str, Any]:
        """As the spec has it."""
        more = {"linear": self.linear, "options": list(self.options), "of_loop": self.of_loop}
        found = {"low": self.low, "high": self.high, "complement": self.complement}
        return found | {name: value for name, value in more.items() if value}

    def value(self, searched: float) -> Any:
        """What the optimizer gets, in digits that one can read and paste."""
        if self.options:
            return self.options[min(int(searched), len(self.options) - 1)]
        if self.whole:
            return round(searched)
        if self.name == "batch_size":
            return int(self.default * 2 ** round(math.log2(searched / self.default)))
        short = float(f"{searched:.3g}")
        return round(1 - short, 9) if self.complement else short

    def searched(self, value: Any) -> float:
        """The number on the scale that is searched, within its range: a decay of 0 becomes the lowest."""
        if value is None:
            return self.at(0.5)
        if self.options:
            return float(self.options.index(value)) if value in self.options else 0.0
        number = float(1 - value if self.complement else value)
        return min(max(number, self.low), self.high)

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range, as far as its digits go."""
        return math.isclose(self.searched(value), 1 - value if self.complement else value, rel_tol=1e-6)

    def at(self, share: float) -> float:
        """The number a share of the way from `low` to `high`."""
        if self.options:
            return float(min(int(share * len(self.options)), len(self.options) - 1))
        if self.linear:
            return self.low + share * (self.high - self.low)
        return float(self.low * (self.high / self.low) ** share)


def search_ranges(entry: Entry, task: Task) -> dict[str, SearchRange]:
    """All hyperparameters of an optimizer, in the order of how much they matter; lr first, the batch size last."""
    result = own_ranges(entry)
    if "weight_decay" in result and task.weight_decay is not None and "weight_decay" not in entry.settings:
        result["weight_decay"] = replace(result["weight_decay"], default=task.weight_decay)
    if isinstance(task, OwnLoop):
        return result
    own = task.batch_size
    result["batch_size"] = SearchRange("batch_size", max(1, own / BATCH_REACH), own * BATCH_REACH, own, "batch_size")
    return result


def own_ranges(entry: Entry) -> dict[str, SearchRange]:
    """Those that an optimizer has whatever the task; a class that is not ours may have none."""
    result = {}
    rate = entry.default_rate
    if rate:
        for name in entry.rates:
            rate = entry.default(name)
            low, high = entry.search(name) or (rate * 10**-1.5, rate * 10**1.5)
            result[name] = SearchRange(name, min(low, rate), max(high, rate), rate, name)
    for hyperparameter in (*_averages(entry), *_plain(entry)):
        result[hyperparameter.name] = hyperparameter
    return result


def bounds_of(entry: Entry) -> dict[str, list[tuple[float, float]]]:
    """For each of an optimizer's arguments the ranges that `tune` searches: of `betas` one for each."""
    result: dict[str, list[tuple[float, float]]] = {}
    for one in own_ranges(entry).values():
        result.setdefault(one.setting, []).append(one.bounds)
    return result


def choose(entry: Entry, task: Task, wanted: Any) -> list[SearchRange]:
    """The hyperparameters that the user names: all but the batch size if None; `betas` stands for each of them.

    Args:
        wanted: names, a text such as "lr=1e-4:1e-1,betas", or a dictionary of name to range (None: the usual one).

    Raises:
        LabError: for a hyperparameter the optimizer does not have, or a range that is none.
    """
    known = search_ranges(entry, task)
    if wanted is None:
        return [hyperparameter for name, hyperparameter in known.items() if name != "batch_size"]
    chosen: dict[str, SearchRange] = {}
    for name, range in _ranges(wanted).items():
        group = [
            hyperparameter.name
            for hyperparameter in known.values()
            if hyperparameter.setting == name and hyperparameter.index is not None
        ] or [name]
        for each in group:
            chosen[each] = _search_range(entry, known, each, range)
    if not chosen:
        raise LabError("hyperparameters: got none; must name at least one")
    return list(chosen.values())


def tuned(entry: Entry, task: Task, names: Sequence[str]) -> list[SearchRange]:
    """Those of the named hyperparameters that an optimizer has; `beta1` is its momentum where it has that instead, and
    `lr` all its rates."""
    known = search_ranges(entry, task)
    names = [each for name in names for each in (entry.rates if name == "lr" else [name])]
    wanted = [name if name in known or name != "beta1" else "momentum" for name in names]
    return [known[name] for name in wanted if name in known]


def settings(
    entry: Entry, hyperparameters: Sequence[SearchRange], values: Mapping[str, float]
) -> tuple[dict[str, Any], int | None]:
    """The optimizer's settings, and the batch size, for these values of the hyperparameters."""
    made: dict[str, Any] = {}
    batch = None
    for hyperparameter in hyperparameters:
        value = values[hyperparameter.name]
        if value is None:  # the loop has its own
            continue
        if hyperparameter.name == "batch_size":
            batch = int(value) if value != hyperparameter.default else None
        elif hyperparameter.index is None:
            made[hyperparameter.setting] = value
        else:
            parts = list(made.get(hyperparameter.setting, entry.default(hyperparameter.setting)))
            parts[hyperparameter.index] = value
            made[hyperparameter.setting] = tuple(parts)
    return made, batch


def numbers(settings: Mapping[str, Any], batch_size: int | None = None) -> dict[str, float]:
    """A trial's settings one number each: betas as beta1, beta2."""
    flat: dict[str, float] = {}
    for name, value in settings.items():
        if isinstance(value, tuple | list):
            stem = name.removesuffix("s")
            flat |= {f"{stem}{index}": float(part) for index, part in enumerate(value, 1)}
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[name] = float(value)
    return flat if batch_size is None else {**flat, "batch_size": float(batch_size)}


def _averages(entry: Entry) -> list[SearchRange]:
    """Momentum and the betas: weights of running means, searched as 1 - value."""
    own = _defaults(entry)
    result = []
    betas = own.get("betas")
    if isinstance(betas, tuple):
        for index, beta in enumerate(betas):
            name = f"beta{index + 1}"
            low, high = BETA1 if index == 0 else ((1 - beta) / 10, min(0.5, 50 * (1 - beta)))
            result.append(_average(name, (low, high), beta, "betas", index))
    momentum = _number(own.get("momentum"))
    if momentum:
        result.append(_average("momentum", MOMENTUM, momentum, "momentum"))
    for name, rule in ALSO_AVERAGES.items():
        if name in own and (known := entry.searched_as) is not None and known.name.startswith(rule):
            away = 1 - own[name]
            result.append(_average(name, (away / 10, min(0.5, 50 * away)), own[name], name))
    return result


def _average(
    name: str, range: tuple[float, float], default: float, setting: str, index: int | None = None
) -> SearchRange:
    low, high = min(range[0], 1 - default), max(range[1], 1 - default)
    return SearchRange(name, low, high, default, setting, index, complement=True)


def _plain(entry: Entry) -> list[SearchRange]:
    own = _defaults(entry)
    result = []
    if eps := _number(own.get("eps")):
        result.append(SearchRange("eps", eps / 100, eps * 1e4, eps, "eps"))
    if "weight_decay" in own:
        rule = entry.searched_as
        usual = DECAY if rule is not None and rule.decay != "coupled" else COUPLED
        low, high = entry.search("weight_decay") or usual
        result.append(SearchRange("weight_decay", low, high, float(own["weight_decay"]), "weight_decay"))
    return result


def _defaults(entry: Entry) -> dict[str, Any]:
    """What an optimizer's arguments are when nobody sets them: a rule's own ones, and the decay any class has."""
    arguments = inspect.signature(entry.optimizer).parameters
    rule = entry.searched_as
    names = set(arguments) if rule is None else {*rule.hyperparameters, "weight_decay"} & set(arguments)
    return {name: entry.default(name) for name in arguments if name in names}


def _search_range(
    entry: Entry, known: Mapping[str, SearchRange], name: str, range: tuple[float, float] | None
) -> SearchRange:
    if name in known:
        hyperparameter = known[name]
        if range is None:
            return hyperparameter
        low, high = (1 - range[1], 1 - range[0]) if hyperparameter.complement else range
        if not low > 0:
            raise LabError(
                f"hyperparameters: {name} got the range {range}; "
                f"must lie above 0{' and below 1' * hyperparameter.complement}"
            )
        return replace(hyperparameter, low=low, high=high)
    default = _number(_defaults(entry).get(name))
    usual = ", ".join(known)
    if not default:
        near = did_you_mean(name, known)
        has = f"{near} It has" if near else "; it has"
        raise LabError(f"hyperparameters: {entry.name} has no hyperparameter {name!r}{has} {usual}")
    if range is None:
        raise LabError(
            f"hyperparameters: {name} of {entry.name} has no usual range; must be given one, as in {name}=0.1:10"
        )
    return SearchRange(name, *range, default, name)


def _ranges(wanted: Any) -> dict[str, tuple[float, float] | None]:
    if isinstance(wanted, str):
        parts = [part.partition("=") for part in listed(wanted)]
        wanted = {name.strip(): range.split(":") if equals else None for name, equals, range in parts}
    if not isinstance(wanted, Mapping):
        wanted = dict.fromkeys(wanted)
    return {name: None if range is None else _range(name, range) for name, range in wanted.items()}


def _range(name: str, range: Any) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not 0 < low < high < math.inf:
        raise LabError(
            f"hyperparameters: {name} got the range {range!r}; must be two positive numbers, the lower first"
        )
    return low, high


def _number(value: Any) -> float:
    """A positive, finite number; 0 for anything else."""
    plain = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return float(value) if plain else 0.0
