"""The optimizers that programs are played on: every class, with the settings that a program may change."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

import thalweg.optim as optim
from thalweg.catalogue import CATALOGUE
from thalweg.optimizers.second_order import SecondOrder

SWITCHES = ("amsgrad", "centered", "nesterov", "maximize", "decoupled_weight_decay", "bias_correction", "clip")
SWITCHED = (False, True)
CHOICES: dict[str, tuple[Any, ...]] = {
    "lr": (0.003, 0.01, 0.03),
    "eps": (1e-6, 1e-3),
    "momentum": (0.0, 0.5, 0.9),
    "dampening": (0.0, 0.2),
    "weight_decay": (0.0, 0.1),
    "rho": (0.9, 0.7),
    "alpha": (0.5, 0.75, 0.9),
    "lr_decay": (0.0, 0.05),
    "lambd": (1e-4, 0.1),
    "t0": (1.0, 5.0, 1e6),
    "momentum_decay": (4e-3, 0.1),
    "etas": ((0.5, 1.2), (0.3, 1.5)),
    "step_sizes": ((1e-6, 50), (1e-3, 0.1)),
    "nus": ((0.7, 1.0), (0.4, 0.8)),
    "rectify_above": (4.0, 5.0),
    "gradient_scale": (1.0, 0.5, -2.0),
}
BETAS = {
    2: ((0.9, 0.999), (0.8, 0.95), (0.0, 0.99)),
    3: ((0.9, 0.8, 0.95), (0.98, 0.92, 0.99)),
}
# A kernel for each combination takes a second to compile, and the text around every rule is the same: a few classes try
# all combinations, the others weight decay alone.
WIDE = ("SGD", "Adam", "RAdam")
ONLY_WIDE = ("maximize", "decoupled_weight_decay", "gradient_scale")


@dataclass(frozen=True)
class Case:
    """One optimizer class of ours with settings, and torch's class of that name where there is one."""

    name: str
    ours: type[torch.optim.Optimizer]
    settings: Mapping[str, Any] = field(default_factory=dict)
    sparse: str = ""  # "mixed" with dense gradients, or "only"

    @property
    def theirs(self) -> type[torch.optim.Optimizer] | None:
        return getattr(torch.optim, self.ours.__name__, None)

    @property
    def wide(self) -> bool:
        """Clipping, ascent, scales and both kinds of decay are tried."""
        return self.ours.__name__ in WIDE

    @property
    def threads(self) -> bool:
        """Kernels on several threads are tried, which are compiled apart."""
        return self.name in ("SGD momentum", "Adam")

    @property
    def halves(self) -> bool:
        """float16 and bfloat16 parameters are tried: there are four kernels for each."""
        return self.name in ("SGD momentum", "Adam", "ASGD")

    @property
    def complex(self) -> bool:
        """Rules on whole matrices refuse complex numbers."""
        return not any(getattr(rule, "matrices", None) for rule in self.ours.rules)

    def changes(self, torch_too: bool) -> dict[str, tuple[Any, ...]]:
        """The settings that a group may change while it trains, each with its values."""
        both = set(inspect.signature(self.ours).parameters)
        if torch_too and self.theirs:
            both &= {*inspect.signature(self.theirs).parameters, *(("gradient_scale",) if self.wide else ())}
        if self.sparse:
            both -= {"weight_decay", "decoupled_weight_decay", "nesterov"}
        if not self.wide:
            both -= set(ONLY_WIDE)
        values = {name: CHOICES[name] for name in CHOICES if name in both}
        values |= {name: SWITCHED for name in SWITCHES if name in both}
        if "betas" in both:
            values["betas"] = BETAS[len(inspect.signature(self.ours).parameters["betas"].default)]
        return values


def _torchs() -> list[Case]:
    return [
        Case("SGD", optim.SGD),
        Case("SGD momentum", optim.SGD, {"momentum": 0.9, "dampening": 0.2}),
        Case("SGD nesterov", optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        Case("Adam", optim.Adam),
        Case("Adam amsgrad", optim.Adam, {"amsgrad": True}),
        Case("AdamW", optim.AdamW),
        Case("NAdam", optim.NAdam),
        Case("RAdam", optim.RAdam, {"betas": (0.8, 0.95)}),
        Case("Adamax", optim.Adamax),
        Case("Adagrad", optim.Adagrad, {"initial_accumulator_value": 0.1, "lr_decay": 0.01}),
        Case("Adadelta", optim.Adadelta, {"lr": 1.0}),
        Case("RMSprop", optim.RMSprop),
        Case("RMSprop momentum", optim.RMSprop, {"momentum": 0.5}),
        Case("RMSprop centered", optim.RMSprop, {"centered": True, "momentum": 0.5}),
        Case("Rprop", optim.Rprop),
        Case("ASGD", optim.ASGD, {"lambd": 0.1, "t0": 5.0}),
        Case("SGD sparse", optim.SGD, {}, "mixed"),
        Case("Adagrad sparse", optim.Adagrad, {}, "mixed"),
        Case("SparseAdam", optim.SparseAdam, {}, "only"),
    ]


def _ours() -> list[Case]:
    """What the catalogue has beyond torch; not what asks for the gradients' graph, where programs give gradients; nor
    rules of matrices, whose inverse roots enlarge rounding by more than a tolerance can say (tests/test_matrices.py has
    them)."""
    return [
        Case(name, entry.optimizer, dict(entry.settings))
        for name, entry in CATALOGUE.items()
        if isinstance(entry.optimizer, type)
        and not hasattr(torch.optim, entry.optimizer.__name__)
        and not issubclass(entry.optimizer, SecondOrder)
        and not (entry.rule and entry.rule.matrices)
    ]


CASES = {case.name: case for case in [*_torchs(), *_ours()]}
