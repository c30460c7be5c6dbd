"""torch's own database of optimizers: each class's configurations, here for our class of the same name.

The database ships with torch (`torch.testing._internal.common_optimizers`): the settings worth trying, the errors that
a class must raise, what it supports. torch's own tests run over it; the laws here are those, over our classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

# The database imports it, for tests of its own.
pytest.importorskip("expecttest", reason="torch's database of optimizers needs the package expecttest")

from torch.testing._internal.common_optimizers import (
    OptimizerInfo,
    _get_optim_inputs_including_global_cliquey_kwargs,
    optim_db,
)

import thalweg.optim as optim
from thalweg.optimizers.optimizer import Optimizer as Face

Tensor = torch.Tensor

# Where our classes depart from what torch's tests ask: every one is shown to be so in test_database_exclusions.py.
EXCLUSIONS = {
    "a tensor setting with foreach=True": "torch's loops over lists cannot take one; here `foreach` chooses nothing",
    "betas of both kinds": "torch wants two floats or two tensors; here each is read for itself",
    "SparseAdam of complex parameters": "torch's lacks them; here they are pairs of real numbers, as everywhere",
    "Adafactor of parameters without elements": "torch's class divides by their number, 0; here they are left alone",
    "names when a checkpoint is loaded": "torch ignores them; here they say which state is whose, or refuse it",
}


SHAPES = [(7, 5), (3,), ()]


@dataclass(frozen=True)
class Configuration:
    """Settings from the database, for the class of that name in `thalweg.optim`, on one engine."""

    info: OptimizerInfo = field(repr=False)
    desc: str
    settings: dict[str, Any]
    engine: str

    def __str__(self) -> str:
        return f"{self.info.name}[{self.desc}]-{self.engine}"

    @property
    def cls(self) -> type[torch.optim.Optimizer]:
        return getattr(optim, self.info.name)

    @property
    def coarsest(self) -> torch.dtype:
        """The dtype with the fewest digits in which a setting comes: torch goes on calculating in a tensor's own."""
        dtypes = [value.dtype for value in self.settings.values() if isinstance(value, Tensor)]
        return max([torch.float64, *dtypes], key=lambda dtype: torch.finfo(dtype).eps)

    def kwargs(self, **more: Any) -> dict[str, Any]:
        """Without the engine: what torch's class takes, too. Copies: a scheduler writes into a tensor `lr`."""
        return {**copy.deepcopy(self.settings), **more}

    def build(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        return self.cls(params, **{**self.kwargs(), "engine": self.engine, **more})

    def build_torch(self, params: Any, **more: Any) -> torch.optim.Optimizer:
        """torch's class, as its plainest implementation."""
        plain = {"foreach": False} if "foreach" in self.info.supported_impls else {}
        return self.info.optim_cls(params, **{**self.kwargs(), **plain, **more})


# The others are torch's own, handed on: test_namespace.py. Muon takes matrices alone, and in double precision is
# more exact than torch's, which rounds to bfloat16: test_muon.py.
INFOS = [info for info in optim_db if issubclass(getattr(optim, info.name), Face) and info.name != "Muon"]


def _all() -> Iterator[Configuration]:
    for info in INFOS:
        for engine in ("reference", "cpu"):
            for each in info.optim_inputs_func("cpu"):
                yield Configuration(info, each.desc, each.kwargs, engine)


def _flagged() -> Iterator[Configuration]:
    """With each of `foreach`, `fused` and `differentiable` that torch's class has; on the engine that 'auto' takes."""
    for info in INFOS:
        for each in _get_optim_inputs_including_global_cliquey_kwargs("cpu", torch.float64, info):
            yield Configuration(info, each.desc, each.kwargs, "auto")


CONFIGURATIONS = list(_all())
FLAGGED = list(_flagged())
DEFAULTS = [each for each in CONFIGURATIONS if not each.settings]
COMPLEX = [each for each in CONFIGURATIONS if each.info.supports_complex]


def laws(configurations: Sequence[Configuration]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("configuration", configurations, ids=str)


def parameters(configuration: Configuration, dtype: torch.dtype = torch.float64) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in SHAPES]


def gradients(params: Sequence[Tensor], steps: int, seed: int = 1) -> list[list[Tensor | None]]:
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params] for _ in range(steps)]


def as_supported(configuration: Configuration, gradient: Tensor | None) -> Tensor | None:
    """A gradient as the class takes it: SparseAdam wants it sparse."""
    sparse = configuration.info.only_supports_sparse_grads and gradient is not None
    return gradient.to_sparse() if sparse else gradient


def run(configuration: Configuration, optimizer: torch.optim.Optimizer, given: Sequence[Sequence[Tensor | None]]):
    """Steps over given gradients."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for values in given:
        for p, g in zip(params, values, strict=True):
            p.grad = as_supported(configuration, None if g is None else g.clone())
        optimizer.step()


def toy(configuration: Configuration, strided: bool = False, dtype: torch.dtype = torch.float64):
    """A weight and a bias whose affine map is to come to zero; and the loss, which fills in the gradients."""
    generator = torch.Generator().manual_seed(0)
    draw: Callable[..., Tensor] = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
    weight, bias = (
        torch.nn.Parameter(draw(*shape, 2)[..., 0] if strided else draw(*shape)) for shape in ((10, 5), (10,))
    )
    x = draw(5)

    def loss() -> Tensor:
        value = (weight.mv(x) + bias).pow(2).sum()
        weight.grad = bias.grad = None
        value.backward()
        for p in (weight, bias):
            p.grad = as_supported(configuration, p.grad)
        return value

    return [weight, bias], loss


def states(optimizer: torch.Face) -> list[dict[str, Any]]:
    return [dict(optimizer.state.get(p, {})) for group in optimizer.param_groups for p in group["params"]]


def snapshot(params: Sequence[Tensor]) -> list[Tensor]:
    return [p.detach().clone() for p in params]


def same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))
