"""torch.compile around a step, or around all of a training step: the bits of the plain loop, and no endless compiling.

What is under test is the step, so the plain loop has its passes compiled by the same backend: inductor's own rounding
in the model then falls on both sides.
"""

import itertools
import shutil

import pytest
import torch
from torch._dynamo.utils import counters

import thalweg.optim as optim

STEPS, SETTLED = 8, 2
HAS_COMPILER = any(map(shutil.which, ("g++", "clang++", "cl")))
MARKS = {"inductor": pytest.mark.skipif(not HAS_COMPILER, reason="inductor needs a C++ compiler: g++, clang++ or cl")}


def in_turn(*named):
    """Every rule under each backend, one with a number for a rate, one with a tensor: inductor takes 5 s a case."""
    kinds = list(itertools.product(["eager", "inductor"], ["lr", "tensor_lr"]))
    cases = [(each, kinds[at]) for place, each in enumerate(named) for at in (place % 2, 3 - place % 2)]
    return pytest.mark.parametrize(
        ("name", "settings", "backend", "tensor_lr"),
        [
            pytest.param(
                *each, backend, kind == "tensor_lr", id=f"{each[0]}-{backend}-{kind}", marks=MARKS.get(backend, ())
            )
            for each, (backend, kind) in cases
        ],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Inductor's own cache. It is one for the module: the C++ headers are compiled once."""
    return tmp_path_factory.mktemp("inductor")


@pytest.fixture(autouse=True)
def fresh(folder, monkeypatch):
    """torch.compile remembers nothing of the tests before, and starts no worker processes."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
    torch._dynamo.reset()
    counters.clear()
    with torch._inductor.config.patch(compile_threads=1):
        yield
    torch._dynamo.reset()


class Training:
    """A small regression, the same whenever it is built."""

    def __init__(self, name: str, lr, **settings) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        self.optimizer = getattr(optim, name)(self.model.parameters(), lr=lr, **settings)
        self.inputs = torch.randn(16, 4)
        self.targets = self.inputs.sum(1, keepdim=True)

    def passes(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(self.model(self.inputs), self.targets)
        loss.backward()
        return loss.detach()

    def whole(self) -> torch.Tensor:
        loss = self.passes()
        self.optimizer.step()
        return loss

    def schedule(self, step: int) -> None:
        lr = self.optimizer.param_groups[0]["lr"]
        if isinstance(lr, torch.Tensor):
            lr.mul_(0.9)
        else:
            self.optimizer.param_groups[0]["lr"] = lr * 0.9

    def run(self, train) -> list[torch.Tensor]:
        """The losses, then the parameters and the states; nothing is compiled once it has settled."""
        outcome, frames = [], 0
        for step in range(STEPS):
            outcome.append(train().clone())
            self.schedule(step)
            if step == SETTLED:
                frames = counters["frames"]["total"]
        assert counters["frames"]["total"] == frames, "compiled anew in later steps"
        params = [p.detach() for p in self.model.parameters()]
        return [
            *outcome,
            *params,
            *(value for p in self.model.parameters() for value in self.optimizer.state[p].values()),
        ]


def same(ours: list[torch.Tensor], plain: list[torch.Tensor]) -> None:
    assert len(ours) == len(plain)
    for place, (a, b) in enumerate(zip(ours, plain, strict=True)):
        assert torch.equal(a, b), f"entry {place}: {a} and {b}"


@pytest.mark.apart
@in_turn(("Adam", {}), ("SGD", {"momentum": 0.9}), ("RAdam", {}))
def test_a_compiled_training_step(name, settings, backend, tensor_lr):
    lr = torch.tensor(0.03) if tensor_lr else 0.03
    plain = Training(name, lr, **settings)
    passes = torch.compile(plain.passes, backend=backend)

    def passes_then_step():
        loss = passes()
        plain.optimizer.step()
        return loss

    expected = plain.run(passes_then_step)
    torch._dynamo.reset()
    compiled = Training(name, torch.tensor(0.03) if tensor_lr else 0.03, **settings)
    same(compiled.run(torch.compile(compiled.whole, backend=backend)), expected)


@in_turn(("Adam", {}), ("SGD", {"momentum": 0.9}), ("Adagrad", {}))
def test_a_compiled_call_of_step(name, settings, backend, tensor_lr):
    plain = Training(name, torch.tensor(0.03) if tensor_lr else 0.03, **settings)
    expected = plain.run(plain.whole)
    alone = Training(name, torch.tensor(0.03) if tensor_lr else 0.03, **settings)
    step = torch.compile(alone.optimizer.step, backend=backend)

    def passes_then_compiled_step():
        loss = alone.passes()
        step()
        return loss

    same(alone.run(passes_then_compiled_step), expected)


def test_a_closure_hooks_and_a_scheduler_inside_what_is_compiled():
    """The scheduler wraps `step` in a function of its own: torch.compile meets that one, and ours as a frame in it."""

    def prepare(compiled: bool):
        one = Training("Adam", 0.03)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(one.optimizer, 0.9)
        one.optimizer.register_step_post_hook(lambda *_: seen.append(1))

        def train():
            loss = one.optimizer.step(one.passes)
            scheduler.step()
            return loss

        one.schedule = lambda step: None
        return one.run(torch.compile(train, backend="eager") if compiled else train)

    seen: list[int] = []
    expected = prepare(False)
    same(prepare(True), expected)
    assert len(seen) == 2 * STEPS


def test_a_compiled_model_in_a_plain_loop():
    """The common case: `model = torch.compile(model)`, also from within a closure."""

    def prepare(as_closure: bool):
        one = Training("Adam", 0.03)
        one.model.compile(backend="eager")
        return one.run((lambda: one.optimizer.step(one.passes)) if as_closure else one.whole)

    same(prepare(False), prepare(True))
    plain = Training("Adam", 0.03)
    same(prepare(True), plain.run(plain.whole))
