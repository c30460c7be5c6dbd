"""How a public library walks: its path over the gradients that an oracle is given, step by step in float64."""

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
import pytest
import torch
from subjects import largest

STEPS = 60
# As in test_oracle.py: a step errs by a few units in the last place, and the errors of all steps add up.
TOLERANCE = 100 * STEPS * np.finfo(np.float64).eps
# A library that is not right must be further off than float32 could explain.
DIFFERENT = 100 * STEPS * np.finfo(np.float32).eps

random = np.random.default_rng(0)
# Square: where the first gradient has less than full rank, SOAP's first basis is not determined.
STARTS = [random.normal(size=(5, 5)), random.normal(size=3)]
SHAPES = [start.shape for start in STARTS]
CURVATURES = [random.uniform(0.2, 2.0, size=start.shape) for start in STARTS]
SCALES = 10 ** random.uniform(-1.3, 0.7, size=STEPS)
NOISE = [SCALES.reshape(-1, *[1] * start.ndim) * random.normal(size=(STEPS, *start.shape)) for start in STARTS]
ROWS = [random.choice(5, size=2, replace=False) for _ in range(STEPS)]


def gradients(points: list[np.ndarray], t: int) -> list[np.ndarray]:
    """Of a quadratic, with noise: it depends on the point, so a path that strays is told of it.

    Exactly 0 in a part of every third, and, for who starts at 0, in all of the first.
    """
    given = []
    for x in points:
        index = SHAPES.index(x.shape)
        g = CURVATURES[index] * x + NOISE[index][t - 1]
        if t % 3 == 0:
            g[:2] = 0.0
        given.append(g if t > 1 or np.any(points[0]) else 0.0 * g)
    return given


def gradient(point: np.ndarray, t: int) -> np.ndarray:
    return gradients([point], t)[0]


def curvature(point: np.ndarray, t: int) -> np.ndarray:
    """Stands for the Hutchinson estimate."""
    return CURVATURES[0] * (1 + NOISE[0][t - 1])


@dataclass(frozen=True)
class Case:
    """A rule, a library's version of it ("module:name"), and settings: shared, ours alone, theirs alone."""

    oracle: Callable[..., papers.Run]
    peer: str
    shared: dict[str, Any]
    ours: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    not_right: str = ""  # what the peer does instead
    states: bool = True  # they mean the same by the same name
    tensor: int = 0  # which one of STARTS; Prodigy takes them all
    scale: float = 1.0  # of the start
    constant: bool = False  # lr, which otherwise changes from step to step
    double: bool = False  # make its module compute in float64 where it says float32

    def __str__(self) -> str:
        return f"{self.oracle.__name__}-{self.peer}" + ("-not" if self.not_right else "")

    def rate(self, lr: float, t: int) -> float:
        return lr if self.constant else lr * float(0.7 + 0.01 * t + 0.3 * np.cos(t))

    @property
    def starts(self) -> list[np.ndarray]:
        if self.oracle is papers_matrix.prodigy:
            return [self.scale * start for start in STARTS]
        return [self.scale * STARTS[self.tensor]]


@dataclass
class Walk:
    """The points of every step, a list of tensors each, and what is known of the first one's state at the end."""

    path: list[list[np.ndarray]]
    state: dict[str, Any] = field(default_factory=dict)


def own_walk(case: Case, settings: dict[str, Any]) -> Walk:
    settings = {**settings, "lr": functools.partial(case.rate, settings["lr"])}
    if case.oracle is papers_matrix.prodigy:
        run = case.oracle(case.starts, gradients, steps=STEPS, **settings)
        return Walk(run.path, {name: value[0] for name, value in run.state.items() if isinstance(value, list)})
    run = case.oracle(case.starts[0], gradient, steps=STEPS, **settings)
    return Walk([[x] for x in run.lookahead or run.path], run.state)  # a schedule-free parameter holds y


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


def torch_walk(case: Case) -> Walk:
    params = [torch.nn.Parameter(torch.tensor(start)) for start in case.starts]
    lr = case.shared["lr"]
    optimizer = version_of(case)(params, **{**case.shared, **case.theirs, "lr": case.rate(lr, 1)})
    if hasattr(optimizer, "train"):
        optimizer.train()
    path = []
    for t in range(1, STEPS + 1):
        for p, g in zip(params, gradients([p.detach().numpy() for p in params], t), strict=True):
            p.grad = torch.tensor(g)
        for group in optimizer.param_groups:
            group["lr"] = case.rate(lr, t)
        STEP.get(case.peer, lambda optimizer, p, t: optimizer.step())(optimizer, params[0], t)
        path.append([p.detach().numpy().copy() for p in params])
    return Walk(path, dict(optimizer.state[params[0]]) if case.states else {})


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


def optax_walk(case: Case) -> Walk:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    settings = {**case.shared, **case.theirs}
    if case.oracle is not papers_matrix.prodigy:
        settings.update(zip(("b1", "b2", "b3"), settings.pop("betas", ()), strict=False))
    if "momentum" in settings and "schedule_free" in case.peer:
        settings["b1"] = settings.pop("momentum")
    with jax.enable_x64(True):
        lr = settings.pop("lr")
        rates = jax.numpy.asarray([case.rate(lr, t) for t in range(1, STEPS + 1)])
        transform = version_of(case)(lr if case.constant else lambda count: rates[count], **settings)
        points = [jax.numpy.asarray(start) for start in case.starts]
        state, path = transform.init(points), []
        for t in range(1, STEPS + 1):
            given = [jax.numpy.asarray(g) for g in gradients([np.asarray(x) for x in points], t)]
            updates, state = transform.update(given, state, points)
            points = optax.apply_updates(points, updates)
            path.append([np.asarray(x) for x in points])
    return Walk(path)


class InDouble:
    """torch, but its float32 is float64."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


WALKS: dict[str, Walk] = {}


def peer_walk(case: Case) -> Walk:
    key = f"{case} {case.shared} {case.theirs} {case.double} {case.constant} {case.scale} {case.tensor}"
    if key not in WALKS:
        with pytest.MonkeyPatch.context() as patch:
            if case.double:
                patch.setattr(sys.modules[version_of(case).__module__], "torch", InDouble())
            WALKS[key] = (optax_walk if case.peer.startswith("optax") else torch_walk)(case)
    return WALKS[key]


def relative(ours: Any, theirs: Any) -> float:
    theirs = np.asarray(theirs)
    if theirs.size != np.size(ours):
        return np.inf
    theirs = theirs.reshape(np.shape(ours))  # Prodigy's s is flat there
    assert np.isfinite(ours).all() and np.isfinite(theirs).all()
    return float((np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))).max())


def distance(ours: Walk, theirs: Walk) -> float:
    """The largest of all steps, tensors, and states that both have by one name."""
    pairs = [pair for step in zip(ours.path, theirs.path, strict=True) for pair in zip(*step, strict=True)]
    for name in ours.state.keys() & theirs.state.keys():
        mine, other = ours.state[name], theirs.state[name]
        pairs += zip(mine, other, strict=False) if isinstance(mine, list) else [(mine, other)]
    return largest(relative(mine, other) for mine, other in pairs if isinstance(mine, np.ndarray | float))
