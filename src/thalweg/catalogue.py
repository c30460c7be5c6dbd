"""The catalogue: every rule with the class and the settings that run it, as the lab and the command line name it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from thalweg import lookup, optim
from thalweg.optimizers.hybrid import Hybrid
from thalweg.optimizers.optimizer import Optimizer
from thalweg.rule.definition import Rule

# The classes that `optim` makes of rules, in its order: simple before refined.
CLASSES: tuple[type[Optimizer], ...] = tuple(
    value
    for value in vars(optim).values()
    if isinstance(value, type) and issubclass(value, Optimizer) and value.__module__ == optim.__name__
    if not issubclass(value, Hybrid)
)
FOREIGN_RATES = (1e-5, 1e-1)


@dataclass(frozen=True)
class Entry:
    """One contender: an optimizer class, with the settings that make it this rule."""

    name: str
    optimizer: Callable[..., torch.optim.Optimizer]
    settings: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule | None = None

    @classmethod
    def of(cls, spec: str | Entry | type[torch.optim.Optimizer]) -> Entry:
        """An entry by its catalogue name, of any torch optimizer class or a place that has one; either with settings.

        >>> Entry.of("adam(bias_correction=False)").settings
        {'bias_correction': False}

        Raises:
            ValueError: for anything else.
        """
        if isinstance(spec, Entry):
            return spec
        if isinstance(spec, str):
            if spec in CATALOGUE:
                return CATALOGUE[spec]
            return _parsed(spec)
        if inspect.isclass(spec) and issubclass(spec, torch.optim.Optimizer):
            rule = spec.rules[0] if issubclass(spec, Optimizer) and spec.rules else None
            known = [entry for entry in CATALOGUE.values() if entry.optimizer is spec and not entry.settings]
            return known[0] if known else cls(f"{spec.__module__.split('.')[0]}.{spec.__name__}", spec, {}, rule)
        raise ValueError(
            f"optimizers: {spec!r} is neither a torch.optim.Optimizer class nor in the catalogue: "
            f"{', '.join(CATALOGUE)}"
        )

    @property
    def takes_dense(self) -> bool:
        """False for a rule that takes sparse gradients alone: no comparison by default has these."""
        return self.rule is None or self.rule.sparse != "only"

    @property
    def takes_all(self) -> bool:
        """False for a rule that only some parameters fit (Muon: matrices): no comparison by default has these."""
        return self.rule is None or self.rule.unfit is None

    @property
    def takes_sparse(self) -> bool:
        """False for a rule that refuses sparse gradients."""
        return self.rule is None or self.rule.sparse != ""

    def build(self, params: Any, **settings: Any) -> torch.optim.Optimizer:
        """The optimizer of these parameters, with settings on top of the entry's own."""
        return self.optimizer(params, **{**self.settings, **settings})

    def default(self, name: str) -> Any:
        """What a setting is when nobody sets it."""
        if name in self.settings:
            return self.settings[name]
        return inspect.signature(self.optimizer).parameters[name].default

    @property
    def default_rate(self) -> float | None:
        """The learning rate when nobody sets it; None where there is none."""
        try:
            rate = self.default("lr")
        except (KeyError, AttributeError, ValueError):
            return None
        return float(rate) if isinstance(rate, int | float) else None

    def search(self, name: str) -> tuple[float, float] | None:
        """The range to search for a setting, on a logarithmic scale; None where there is none."""
        if self.rule is None:
            return FOREIGN_RATES if name == "lr" else None
        hyperparameter = self.rule.hyperparameters.get(name)
        return hyperparameter.search if hyperparameter else None

    def line(self, **settings: Any) -> str:
        """The line to paste into a training script."""
        module = str(self.optimizer.__module__)
        if module.startswith("torch.optim."):  # torch.optim.adam hides the module of that name
            module = "torch.optim"
        name = self.optimizer.__name__ if isinstance(self.optimizer, type) else repr(self.optimizer)
        chosen = "".join(f", {key}={value!r}" for key, value in {**self.settings, **settings}.items())
        return f"{module}.{name}(model.parameters(){chosen})"


def _entry(cls: type[Optimizer], rule: Rule) -> Entry:
    """A rule of a class: what it sets differently from the class, and its switches."""
    arguments = inspect.signature(cls).parameters
    settings = {
        name: each.default for name, each in rule.hyperparameters.items() if each.default != arguments[name].default
    }
    return Entry(rule.name, cls, settings | {switch: True for switch in rule.when if switch not in settings}, rule)


def _parsed(text: str) -> Entry:
    """The entry that `adam(eps=1e-3)`, `torch.optim.SGD(momentum=0.9)` or `my_file.py:Class` stands for."""
    try:
        name, own = lookup.apart(text)
    except ValueError as error:
        raise ValueError(f"optimizers: {error}") from None
    if name in CATALOGUE:
        entry = CATALOGUE[name]
    elif "." in name or ":" in name:
        entry = Entry.of(lookup.find(name, "optimizers"))
    else:
        raise ValueError(
            f"optimizers: {text!r} is neither a torch.optim.Optimizer class nor in the catalogue"
            f"{lookup.did_you_mean(text.partition('(')[0], CATALOGUE) or ': ' + ', '.join(CATALOGUE)}"
        )
    known = inspect.signature(entry.optimizer).parameters
    for each in own:
        if each not in known:
            raise ValueError(f"optimizers: {name} has no setting {each!r}; it has {', '.join(list(known)[1:])}")
    return replace(entry, name=text, settings={**entry.settings, **own}) if own else entry


CATALOGUE: dict[str, Entry] = {rule.name: _entry(cls, rule) for cls in CLASSES for rule in cls.rules}
