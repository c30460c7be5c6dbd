"""The catalogue: every rule with the class and the settings that run it, as the lab and the command line name it.

Beside the rules stand optimizers that have one for each role of parameters: `muon_adamw`, and `hybrid(matrix='muon',
rest='adamw')` of any of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from thalweg import lookup, optim
from thalweg.optimizers.hybrid import REST, Hybrid, bound
from thalweg.optimizers.optimizer import Optimizer
from thalweg.roles import ROLES
from thalweg.rule.definition import Rule
from thalweg.rule.hyperparameters import Hyperparameter
from thalweg.update.transforms import SHARED

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
            return listed(spec) or _parsed(spec)
        if spec is Hybrid:
            raise ValueError(f"optimizers: Hybrid is none without its parts; {HYBRID}")
        if inspect.isclass(spec) and issubclass(spec, torch.optim.Optimizer):
            of_one = issubclass(spec, Optimizer) and not issubclass(spec, Hybrid)
            rules = getattr(spec, "rules", ()) if of_one else ()
            rule = rules[0] if rules else None
            every = (*CATALOGUE.values(), *COMBINED.values())
            known = [entry for entry in every if entry.optimizer is spec and not entry.settings]
            return known[0] if known else cls(f"{spec.__module__.split('.')[0]}.{spec.__name__}", spec, {}, rule)
        raise ValueError(
            f"optimizers: {spec!r} is neither a torch.optim.Optimizer class nor in the catalogue: {_names()}"
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
        """False where every rule refuses sparse gradients."""
        return not self.rules or any(rule.sparse for rule in self.rules)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Its rule; of an optimizer with a rule for each role, all of them; of somebody else's class, none."""
        if self.optimizer is hybrid:
            return tuple(rule for _, entry in _parts(self.settings).values() for rule in entry.rules)
        if classes := getattr(self.optimizer, "rates_of", None):
            return tuple(each.rules[0] for each in classes.values())
        return () if self.rule is None else (self.rule,)

    @property
    def searched_as(self) -> Rule | None:
        """The rule whose ranges are searched: its own, and for a class of torch's the catalogue's rule of that class,
        so that the two are compared over the same."""
        if self.rule is not None or getattr(self.optimizer, "__module__", "").partition(".")[0] != "torch":
            return self.rule
        alike = [
            entry
            for entry in CATALOGUE.values()
            if getattr(entry.optimizer, "__name__", "") == getattr(self.optimizer, "__name__", None)
            if set(entry.settings) <= set(inspect.signature(self.optimizer).parameters)
            if all(bool(value) == bool(self.default(name)) for name, value in entry.settings.items())
        ]
        return max(alike, key=lambda entry: len(entry.settings)).rule if alike else None

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Its rule's hyperparameters, and the weight decay that a class has of any rule."""
        own = {} if self.rule is None else self.rule.hyperparameters
        shared = {"weight_decay": SHARED["weight_decay"]} if own and "weight_decay" not in own else {}
        return {**own, **shared}

    @property
    def takes_model(self) -> bool:
        """True for an optimizer that tells a model's parameters apart by their roles."""
        return self.optimizer is hybrid or (isinstance(self.optimizer, type) and issubclass(self.optimizer, Hybrid))

    def build(self, params: Any, **settings: Any) -> torch.optim.Optimizer:
        """The optimizer of a model, or of these parameters, with settings on top of the entry's own."""
        if isinstance(params, nn.Module) and not self.takes_model:
            params = params.parameters()
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

    @property
    def rates(self) -> dict[str, tuple[float, float] | None]:
        """The learning rates that are searched, each with its range: an optimizer of several rules has several."""
        if self.optimizer is hybrid:
            return {rate: entry.search("lr") for rate, (_, entry) in _parts(self.settings).items()}
        classes = getattr(self.optimizer, "rates_of", {})
        return {"lr": None, **{rate: each.rules[0].hyperparameters["lr"].search for rate, each in classes.items()}}

    def search(self, name: str) -> tuple[float, float] | None:
        """The range to search for a setting, on a logarithmic scale; None where there is none."""
        if range := self.rates.get(name):
            return range
        rule = self.searched_as
        if rule is None:
            return FOREIGN_RATES if name == "lr" else None
        hyperparameter = rule.hyperparameters.get(name)
        return hyperparameter.search if hyperparameter else None

    def line(self, **settings: Any) -> str:
        """The line to paste into a training script."""
        if self.optimizer is hybrid:
            return _hybrid_line({**self.settings, **settings})
        module = str(self.optimizer.__module__)
        if module.startswith("torch.optim."):  # torch.optim.adam hides the module of that name
            module = "torch.optim"
        name = self.optimizer.__name__ if isinstance(self.optimizer, type) else repr(self.optimizer)
        chosen = "".join(f", {key}={value!r}" for key, value in {**self.settings, **settings}.items())
        return f"{module}.{name}(model{'' if self.takes_model else '.parameters()'}{chosen})"


HYBRID = "name a rule for each role, such as hybrid(matrix='muon', rest='adamw')"


def hybrid(model: Any, **settings: Any) -> Hybrid:
    """One optimizer with a rule for each role of parameters, as the lab names it.

    Args:
        model: see `Hybrid`.
        settings: by role, a name of the catalogue, with settings in brackets; roles of one name are one part. `lr` is
            the rate of the first part, `<role>_lr`, with its first role, that of another.
    """
    parts: dict[str | tuple[str, ...], Any] = {
        tuple(roles): partial(entry.optimizer, **entry.settings, lr=settings.get(rate, entry.default("lr")))
        for rate, (roles, entry) in _parts(settings).items()
    }
    return Hybrid(model, parts)


def _parts(settings: Mapping[str, Any]) -> dict[str, tuple[list[str], Entry]]:
    """By the name of its rate each part's roles and entry, whose settings are without the rate."""
    roles_of: dict[str, list[str]] = {}
    for role, name in settings.items():
        if role in (*ROLES, REST):
            roles_of.setdefault(name, []).append(role)
    found: dict[str, tuple[list[str], Entry]] = {}
    for name, roles in roles_of.items():
        found[f"{roles[0]}_lr" if found else "lr"] = (roles, Entry.of(name))
    return found


def _hybrid(text: str, given: Mapping[str, Any]) -> Entry:
    """The entry of `hybrid(...)` with these arguments."""
    for role, name in given.items():
        if role not in (*ROLES, REST) or not isinstance(name, str):
            raise ValueError(
                f"optimizers: hybrid got {role}={name!r}; {HYBRID}; the roles are {', '.join((*ROLES, REST))}"
            )
    parts = _parts(given)
    if not parts:
        raise ValueError(f"optimizers: hybrid got no part; {HYBRID}")
    for roles, entry in parts.values():
        part: Any = partial(entry.optimizer, **entry.settings)
        try:
            bound("+".join(roles), part)
        except TypeError as error:
            raise ValueError(f"optimizers: {text}: {error}") from None
    rates = {rate: entry.default("lr") for rate, (_, entry) in parts.items()}
    return Entry(text, hybrid, {**given, **rates})


def _hybrid_line(settings: Mapping[str, Any]) -> str:
    lines = []
    for rate, (roles, entry) in _parts(settings).items():
        chosen = "".join(f", {key}={value!r}" for key, value in {**entry.settings, "lr": settings[rate]}.items())
        key = repr(roles[0]) if len(roles) == 1 else repr(tuple(roles))
        lines.append(f"{key}: partial({entry.optimizer.__module__}.{entry.optimizer.__name__}{chosen})")
    return f"{Hybrid.__module__}.Hybrid(model, {{{', '.join(lines)}}})".replace(Hybrid.__module__, "thalweg.optim")


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
    if name == "hybrid":
        return _hybrid(text, own)
    if found := listed(name):
        entry, text = found, f"{found.name}{text[len(name) :]}"
    elif "." in name or ":" in name:
        entry = Entry.of(lookup.find(name, "optimizers"))
    else:
        raise ValueError(
            f"optimizers: {text!r} is neither a torch.optim.Optimizer class nor in the catalogue"
            f"{lookup.did_you_mean(text.partition('(')[0], (*CATALOGUE, *COMBINED)) or ': ' + _names()}"
        )
    known = inspect.signature(entry.optimizer).parameters
    for each in own:
        if each not in known:
            near = lookup.did_you_mean(each, list(known)[1:])
            raise ValueError(
                f"optimizers: {name} has no setting {each!r}{f'{near} It' if near else '; it'} has "
                f"{', '.join(list(known)[1:])}"
            )
    return _tried(replace(entry, name=text, settings={**entry.settings, **own})) if own else entry


def _tried(entry: Entry) -> Entry:
    """The entry, whose settings its class has taken: what it refuses is said before anything is written."""
    if not entry.takes_model:
        rate = inspect.signature(entry.optimizer).parameters.get("lr")
        asked = rate is not None and rate.default is rate.empty and "lr" not in entry.settings  # a search gives it
        try:
            entry.build([nn.Parameter(torch.zeros(2, 2, device="cpu"))], **({"lr": 1e-3} if asked else {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"optimizers: {entry.name}: {error}") from None
    return entry


def listed(name: str) -> Entry | None:
    """The entry that has this name, if one has; as its class is called too, `ScheduleFreeAdamW`.

    >>> listed("AdamW").name, listed("ScheduleFreeAdamW").name, listed("rmsprop_centered").name
    ('adamw', 'schedule_free_adamw', 'rmsprop_centred')
    """
    name = name if name in CATALOGUE or name in COMBINED else _folded(name)
    return CATALOGUE.get(name) or COMBINED.get(name)


def _folded(name: str) -> str:
    """The catalogue's name that has these letters, whatever their case and however words are parted."""
    letters = "".join(filter(str.isalnum, name.lower())).replace("centered", "centred")  # as its class spells it
    return next((each for each in (*CATALOGUE, *COMBINED) if each.replace("_", "") == letters), name)


def _names() -> str:
    return ", ".join((*CATALOGUE, *COMBINED, "hybrid(...)"))


CATALOGUE: dict[str, Entry] = {rule.name: _entry(cls, rule) for cls in CLASSES for rule in cls.rules}
COMBINED: dict[str, Entry] = {"muon_adamw": Entry("muon_adamw", optim.MuonAdamW)}
