"""Who judges the judges: the oracle's younger rules beside public libraries, both paths compared at every step.

Where a library is right about a rule, the two agree to rounding, under a learning rate that changes at every step,
and a hundredth more in any setting is noticed. Where a library is not, the case says what it does, and the test
asserts the difference, so that the claim is tested. The verdicts:

    rule                 agree                                     do not
    rprop, asgd          torch                                     -
    sparse_adam          torch                                     -
    lion                 timm, pytorch_optimizer, optax            -
    adabelief            timm, pytorch_optimizer, optax            -
    adan                 timm, pytorch_optimizer                   optax
    adopt                timm (clip_exp=0.25), optax               pytorch_optimizer; timm's default clip
    ademamix             pytorch_optimizer, optax                  -
    nadamw               optax                                     timm (AlgoPerf's: agrees with ahead=0)
    qhadam               pytorch_optimizer (weights in float32)    -
    adahessian           timm, pytorch_optimizer                   -
    schedule_free_sgd    schedulefree, pytorch_optimizer, optax    optax with warm-up
    schedule_free_adamw  schedulefree, pytorch_optimizer, optax    optax with warm-up
    schedule_free_radam  schedulefree, pytorch_optimizer           pytorch_optimizer with silent_sgd_phase=False
    lamb                 timm, optax                               pytorch_optimizer
    lars                 timm, pytorch_optimizer (matrices)        optax, unless without decay
    cautious             pytorch_optimizer (Lion)                  timm (the released code: agrees with mean_floor)
    prodigy              prodigyopt, pytorch_optimizer, optax      pytorch_optimizer with coupled decay
    shampoo              pytorch_optimizer, taking roots each step pytorch_optimizer, taking them more rarely
    soap                 pytorch_optimizer (QR in float32)         -
"""

import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import papers
import papers_matrix
import papers_modern
import pytest
import torch

STEPS = 60
# As in test_oracle.py: a step errs by a few units in the last place, and the errors of all steps add up.
TOLERANCE = 100 * STEPS * np.finfo(np.float64).eps
# A library that is not right must be further off than float32 could explain.
DIFFERENT = 100 * STEPS * float(np.finfo(np.float32).eps)

random = np.random.default_rng(0)
# Square: where the first gradient has less than full rank, SOAP's first basis is not determined.
STARTS = [random.normal(size=(5, 5)), random.normal(size=3)]
CURVATURES = [random.uniform(0.2, 2.0, size=start.shape) for start in STARTS]
SCALES = 10 ** random.uniform(-1.3, 0.7, size=STEPS)
NOISE = [SCALES.reshape(-1, *[1] * start.ndim) * random.normal(size=(STEPS, *start.shape)) for start in STARTS]
ROWS = [random.choice(5, size=2, replace=False) for _ in range(STEPS)]


def gradients(points: list[np.ndarray], t: int) -> list[np.ndarray]:
    """Of a quadratic, with noise: it depends on the point, so a path that strays is told of it."""
    return [c * x + noise[t - 1] for x, c, noise in zip(points, CURVATURES, NOISE, strict=False)]


def gradient(point: np.ndarray, t: int) -> np.ndarray:
    return gradients([point], t)[0]


def curvature(point: np.ndarray, t: int) -> np.ndarray:
    """Stands for the Hutchinson estimate."""
    return CURVATURES[0] * (1 + NOISE[0][t - 1])


def rate(lr: float, t: int) -> float:
    return lr * (1 + 0.3 * np.cos(t))


@dataclass(frozen=True)
class Case:
    """A rule, a library's version of it ("module:name"), and settings: shared, ours alone, theirs alone."""

    oracle: Callable[..., papers.Run]
    peer: str
    shared: dict[str, Any]
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    not_right: str = ""  # what the peer does instead
    double: bool = False  # make its module compute in float64 where it says float32

    def __str__(self) -> str:
        return f"{self.oracle.__name__}-{self.peer}" + ("-not" if self.not_right else "")

    @property
    def starts(self) -> list[np.ndarray]:
        return STARTS if self.oracle is papers_matrix.prodigy else STARTS[:1]


def own_path(case: Case, settings: dict[str, Any]) -> list[list[np.ndarray]]:
    settings = {**settings, "lr": functools.partial(rate, settings["lr"])}
    if case.oracle is papers_matrix.prodigy:
        return case.oracle(case.starts, gradients, steps=STEPS, **settings).path
    run = case.oracle(case.starts[0], gradient, steps=STEPS, **settings)
    return [[x] for x in run.lookahead or run.path]  # a schedule-free parameter holds y


# The libraries


def timm_module(name: str) -> types.ModuleType:
    """A module of timm.optim without timm: its models need a torchvision that fits this torch, its optimizers nothing.

    The stand-ins for the packages are gone afterwards, for others look whether timm is there.
    """
    found = importlib.util.find_spec("timm") if "timm" not in sys.modules else sys.modules["timm"].__spec__
    if found is None:
        pytest.skip("timm is not installed")
    before = {key: sys.modules.pop(key) for key in list(sys.modules) if key.partition(".")[0] == "timm"}
    try:
        for package in ("timm", "timm.optim"):
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = [f"{each}/{package[5:]}" for each in found.submodule_search_locations]
        return importlib.import_module(name)
    finally:
        for key in [key for key in sys.modules if key.partition(".")[0] == "timm"]:
            del sys.modules[key]
        sys.modules.update(before)


def version_of(case: Case) -> Any:
    name, _, attribute = case.peer.partition(":")
    module = timm_module(name) if name.startswith("timm") else pytest.importorskip(name)
    return getattr(module, attribute)


def torch_path(case: Case) -> list[list[np.ndarray]]:
    params = [torch.nn.Parameter(torch.tensor(start)) for start in case.starts]
    lr = case.shared["lr"]
    optimizer = version_of(case)(params, **{**case.shared, **case.theirs, "lr": rate(lr, 1)})
    if hasattr(optimizer, "train"):
        optimizer.train()
    path = []
    for t in range(1, STEPS + 1):
        for p, g in zip(params, gradients([p.detach().numpy() for p in params], t), strict=True):
            p.grad = torch.tensor(g)
        for group in optimizer.param_groups:
            group["lr"] = rate(lr, t)
        STEP.get(case.peer, lambda optimizer, p, t: optimizer.step())(optimizer, params[0], t)
        path.append([p.detach().numpy().copy() for p in params])
    return path


def step_sparse(optimizer: Any, p: torch.nn.Parameter, t: int) -> None:
    rows = torch.tensor(ROWS[t - 1])
    p.grad = torch.sparse_coo_tensor(rows[None], p.grad[rows], p.shape, check_invariants=True)
    optimizer.step()


def step_given_hessian(optimizer: Any, p: torch.nn.Parameter, t: int) -> None:
    optimizer.step(hessian=[torch.tensor(curvature(p, t))])


def step_with_own_hessian(optimizer: Any, p: torch.nn.Parameter, t: int) -> None:
    optimizer.zero_hessian = lambda: None
    optimizer.set_hessian = lambda: setattr(p, "hess", torch.tensor(curvature(p, t)))
    optimizer.step()


STEP = {
    "torch.optim:SparseAdam": step_sparse,
    "pytorch_optimizer:AdaHessian": step_given_hessian,
    "timm.optim.adahessian:Adahessian": step_with_own_hessian,
}


def optax_path(case: Case) -> list[list[np.ndarray]]:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    settings = {**case.shared, **case.theirs}
    if case.oracle is not papers_matrix.prodigy:
        settings.update(zip(("b1", "b2", "b3"), settings.pop("betas", ()), strict=False))
    if "momentum" in settings and "schedule_free" in case.peer:
        settings["b1"] = settings.pop("momentum")
    with jax.enable_x64(True):
        rates = jax.numpy.asarray([rate(settings.pop("lr"), t) for t in range(1, STEPS + 2)]) if 0 else None
        lr = settings.pop("lr")
        rates = jax.numpy.asarray([rate(lr, t) for t in range(1, STEPS + 1)])
        transform = version_of(case)(settings.pop("learning_rate", lambda count: rates[count]), **settings)
        points = [jax.numpy.asarray(start) for start in case.starts]
        state, path = transform.init(points), []
        for t in range(1, STEPS + 1):
            given = [jax.numpy.asarray(g) for g in gradients([np.asarray(x) for x in points], t)]
            updates, state = transform.update(given, state, points)
            points = optax.apply_updates(points, updates)
            path.append([np.asarray(x) for x in points])
    return path


class InDouble:
    """torch, but its float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


PATHS: dict[str, list[list[np.ndarray]]] = {}


def peer_path(case: Case) -> list[list[np.ndarray]]:
    key = f"{case} {case.shared} {case.theirs} {case.double}"
    if key not in PATHS:
        with pytest.MonkeyPatch.context() as patch:
            if case.double:
                patch.setitem(version_of(case).step.__wrapped__.__globals__, "torch", InDouble())
            PATHS[key] = (optax_path if case.peer.startswith("optax") else torch_path)(case)
    return PATHS[key]


def distance(ours: list[list[np.ndarray]], theirs: list[list[np.ndarray]]) -> float:
    """The largest over all steps and tensors, relative to the size of the parameter."""
    worst = 0.0
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine, other, strict=True):
            assert a.shape == b.shape and np.isfinite(a).all() and np.isfinite(b).all()
            worst = max(worst, float((np.abs(a - b) / np.maximum(1.0, np.abs(b))).max()))
    return worst
