"""The subjects of the laws: every entry of the catalogue, with settings, its oracle, and torch's class if any."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import papers
import papers_matrix
import papers_modern
import torch

from thalweg.catalogue import CATALOGUE, Entry

DEVICE = torch.device(os.environ.get("THALWEG_TEST_DEVICE", "cpu"))  # where tensors are made: `make test-cuda`
FAST = "cuda" if DEVICE.type == "cuda" else "cpu"  # the engine of that device


def beside(oracle: Callable[..., papers.Run]) -> Callable[..., papers.Run]:
    """The oracle with its decay beside the gradient, whatever `decoupled` says: the rule's own is there."""
    return lambda *given, decoupled, **settings: oracle(*given, decoupled=True, **settings)


def curvature(g: Any) -> Any:
    """The diagonal of the Hessian where the gradient is g: whatever `give` and the oracle agree on."""
    return 0.1 + abs(g)


def adahessian(theta: Any, gradient: Callable[..., Any], **settings: Any) -> papers.Run:
    hessian = lambda theta, t: curvature(gradient(theta, t))  # noqa: E731
    return papers_modern.adahessian(theta, gradient, hessian=hessian, **settings)


# A rule's oracle is the function of its name; here are those of which that is not all.
BY_NAME = {**papers.oracles(papers), **papers.oracles(papers_modern), **papers.oracles(papers_matrix)}
ORACLES: dict[str, Callable[..., papers.Run]] = {
    **{name: oracle for name, oracle in BY_NAME.items() if name in CATALOGUE},
    "sgd": papers.gradient_descent,
    "rmsprop_momentum": papers.rmsprop,
    "rmsprop_centred": papers.rmsprop,
    "rmsprop_centred_momentum": papers.rmsprop,
    "adamw_amsgrad": papers.amsgrad,
    "nadamw": partial(papers_modern.nadamw, ahead=0),  # AlgoPerf's form
    "schedule_free_adamw": beside(papers_modern.schedule_free_adamw),
    "schedule_free_radam": beside(papers_modern.schedule_free_radam),
    "adahessian": adahessian,
    "soap": beside(papers_matrix.soap),
    "adafactor": beside(papers_matrix.adafactor),
    "adafactor_momentum": beside(papers_matrix.adafactor),
    "prodigy": beside(partial(papers_matrix.prodigy, eps_before=True)),
}
SWITCHES = ("nesterov", "amsgrad")  # chosen by the oracle's name, not its argument

BETAS = {"betas": (0.8, 0.95), "eps": 1e-4}
VARIATIONS: dict[str, list[dict[str, Any]]] = {
    "momentum": [{"momentum": 0.5, "dampening": 0.3}],
    "nesterov": [{"momentum": 0.5}],
    "classical_momentum": [{"momentum": 0.5}],
    "classical_nesterov": [{"momentum": 0.5}],
    "adagrad": [{"lr_decay": 0.05, "initial_accumulator_value": 0.3, "eps": 1e-3}],
    "adadelta": [{"rho": 0.7, "eps": 1e-3}],
    "rmsprop": [{"alpha": 0.8, "eps": 1e-3}],
    "rmsprop_momentum": [{"alpha": 0.8, "momentum": 0.5}],
    "rmsprop_centred": [{"alpha": 0.8, "eps": 1e-3}],
    "rmsprop_centred_momentum": [{"alpha": 0.8, "momentum": 0.5}],
    "adam": [BETAS, {"bias_correction": False}],
    "amsgrad": [BETAS, {"bias_correction": False}],
    "adamw": [BETAS, {"weight_decay": 0.3}],
    "adamw_amsgrad": [BETAS],
    "adamax": [BETAS],
    "nadam": [BETAS, {"momentum_decay": 0.1}],
    "radam": [BETAS, {"rectify_above": 4.0}],
    "asgd": [{"lambd": 0.1, "alpha": 0.5, "t0": 10.0}],
    "rprop": [{"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.1)}],
    "nadamw": [BETAS, {"weight_decay": 0.3}],
    "qhadam": [BETAS, {"nus": (0.4, 0.8)}],
    "adabelief": [BETAS],
    "adan": [{"betas": (0.9, 0.8, 0.95), "eps": 1e-4}],
    "adopt": [BETAS, {"clip": False}],
    "ademamix": [{"betas": (0.8, 0.95, 0.99), "eps": 1e-4}, {"alpha": 3.0, "t_warmup": 100.0}],
    "lion": [{"betas": (0.8, 0.95)}],
    "schedule_free_sgd": [
        {"lr": 0.05, "momentum": 0.7, "warmup_steps": 20.0, "r": 1.0, "weight_lr_power": 1.0, "weight_decay": 0.2},
        {"lr": 0.0},
    ],
    "schedule_free_adamw": [{**BETAS, "weight_decay": 0.2, "warmup_steps": 10.0, "r": 0.5}],
    "schedule_free_radam": [{"weight_decay": 0.2}, {**BETAS, "silent_sgd_phase": False, "r": 0.5}],
    "lars": [{"momentum": 0.5, "eps": 0.1, "weight_decay": 0.3}],
    "adahessian": [BETAS, {"hessian_power": 0.7}, {"hessian_power": 0.0}, {"weight_decay": 0.3}],
    "shampoo": [{"lr": 0.3, "eps": 0.1, "update_frequency": 3}],
    "soap": [{**BETAS, "weight_decay": 0.3, "precondition_frequency": 3}, {"max_precondition_dim": 4}],
    "prodigy": [
        {**BETAS, "d0": 1e-2, "weight_decay": 0.3, "use_bias_correction": True},
        {"d0": 1e-3, "d_coef": 0.9, "growth_rate": 1.4, "safeguard_warmup": True},
    ],
    "lamb": [BETAS, {"weight_decay": 0.3}],
    "adafactor": [{"lr": 0.1, "eps": (0.1, 0.1), "d": 1.5, "weight_decay": 0.3, "scale_parameter": False}],
    "adafactor_momentum": [{"beta1": 0.5, "add_eps": True}, {"warmup_init": True}],
}
TRANSFORMS: list[dict[str, Any]] = [
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled_weight_decay": True},
    {"maximize": True},
]


@dataclass(frozen=True)
class Subject:
    entry: Entry
    settings: dict[str, Any]

    def __str__(self) -> str:
        chosen = ",".join(f"{name}={value}" for name, value in self.settings.items())
        return f"{self.entry.name}({chosen})"

    @property
    def carries_stages(self) -> bool:
        """The stages around a rule are the same text around every rule, so in kernels three rules carry them all."""
        return self.entry.name in ("sgd", "adam", "radam")

    @property
    def torch_class(self) -> type[torch.optim.Optimizer] | None:
        """torch's class of the same name, where it has all of the settings."""
        cls = getattr(torch.optim, self.entry.optimizer.__name__, None)
        theirs = inspect.signature(cls).parameters if cls else {}
        return cls if {*self.entry.settings, *self.settings} <= theirs.keys() else None

    def build(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        return self.entry.build(params, **self.settings, **more)

    def build_torch(self, params: Any) -> torch.optim.Optimizer:
        assert self.torch_class is not None
        return self.torch_class(params, **{**self.entry.settings, **self.settings})

    def oracle(self, theta: np.ndarray, gradient: Callable[..., np.ndarray], steps: int) -> papers.Run:
        needed = [name for name in ("lr", "momentum") if self.entry.rule and name in self.entry.rule.hyperparameters]
        arguments = {name: self.entry.default(name) for name in needed} | {**self.entry.settings, **self.settings}
        arguments = {name: value for name, value in arguments.items() if name not in SWITCHES}
        decoupled = self.entry.default("decoupled_weight_decay")
        arguments.setdefault("weight_decay", self.entry.default("weight_decay"))
        arguments["decoupled"] = arguments.pop("decoupled_weight_decay", decoupled)
        return ORACLES[self.entry.name](theta, gradient, steps=steps, **arguments)

    def papers(self, starts: list[np.ndarray], given: list[list[torch.Tensor]], steps: int) -> list[papers.Run]:
        """The oracle's run of each tensor; of all together for a rule that sums over them."""
        if not self.entry.rule.summed:
            return [
                self.oracle(start, lambda _, t, index=index: given[t - 1][index].numpy(), steps)
                for index, start in enumerate(starts)
            ]
        run = self.oracle(starts, lambda _, t: [g.numpy() for g in given[t - 1]], steps)
        parts = {name: value for name, value in run.state.items() if isinstance(value, list)}
        return [
            papers.Run([all_[index] for all_ in run.path], {name: value[index] for name, value in parts.items()})
            for index in range(len(starts))
        ]

    @property
    def amplifies(self) -> float:
        """How many times larger than elsewhere rounding errors are: Prodigy's first steps are d0 long, and it divides
        by them how far the parameters have come."""
        return 1 / self.settings.get("d0", self.entry.default("d0")) if "d0" in self.entry.rule.hyperparameters else 1.0


# Where decoupled decay departs from the paper: classical Nesterov's acts at the point ahead, which the parameter holds;
# ADOPT's acts in the first step too, which only fills v.
DECAY_DEPARTS = ("classical_nesterov", "adopt")


# What any dense parameter can be given to; test_sparse.py and test_muon.py have the others.
COMMON = {name: entry for name, entry in CATALOGUE.items() if entry.takes_dense and entry.takes_all}


def _all() -> list[Subject]:
    subjects = []
    for entry in COMMON.values():
        for settings in [{}, *VARIATIONS.get(entry.name, []), *TRANSFORMS]:
            departs = entry.name in DECAY_DEPARTS or entry.rule.decay == "own"
            if not (departs and settings.get("decoupled_weight_decay")):
                subjects.append(Subject(entry, settings))
    return subjects


SUBJECTS = _all()
PLAIN = [subject for subject in SUBJECTS if not subject.settings]
EVERY_RULE_WITH_DECAY = [subject for subject in SUBJECTS if subject.settings in ({}, {"weight_decay": 0.1})]
# Rules in which no element knows of another: a tensor may be split, and a NaN stays where it is.
ELEMENTWISE = [subject for subject in PLAIN if subject.entry.rule.per_tensor is None]
# Each setting compiles a kernel.
FOR_KERNELS = [subject for subject in SUBJECTS if subject.settings not in TRANSFORMS or subject.carries_stages]


def parameters(shapes: Any, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]  # the same on every device
    return [torch.nn.Parameter(value.to(DEVICE)) for value in values]


def gradients(shapes: Any, steps: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> list[list[torch.Tensor]]:
    """Random gradients of changing size, the same whatever the dtype."""
    generator = torch.Generator().manual_seed(seed)
    scale = [10.0 ** (2 * torch.rand((), generator=generator).item() - 1) for _ in range(steps)]
    return [
        [(size * torch.randn(shape, generator=generator, dtype=torch.float64)).to(DEVICE, dtype) for shape in shapes]
        for size in scale
    ]


def give(optimizer: torch.optim.Optimizer, p: torch.Tensor, g: torch.Tensor) -> None:
    """The gradient as the optimizer takes it: with a graph, in which the Hessian is diagonal, where it needs one.

    Of a diagonal Hessian Hutchinson's estimate is exact, whatever the signs.
    """
    p.grad = g.clone()
    if getattr(optimizer, "second_order", False):
        with torch.enable_grad():
            p.grad = p.grad + curvature(g) * (p - p.detach())


def run(optimizer: torch.optim.Optimizer, steps: list[list[torch.Tensor]]) -> None:
    """Step an optimizer over given gradients."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for values in steps:
        for p, g in zip(params, values, strict=True):
            give(optimizer, p, g)
        optimizer.step()


def largest(values: Iterable[float]) -> float:
    """The largest, and NaN where one is NaN: Python's max passes over it, unless it comes first."""
    return float(np.max([0.0, *values]))


def states(optimizer: torch.optim.Optimizer) -> list[dict[str, torch.Tensor]]:
    return [dict(optimizer.state[p]) for group in optimizer.param_groups for p in group["params"]]
