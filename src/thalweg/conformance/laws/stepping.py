"""What a step does to parameters: those with a gradient move, and nothing else does."""

from __future__ import annotations

import gc
import weakref

import torch

from thalweg.conformance.evidence import copies, different, same
from thalweg.conformance.law import expect, law, need
from thalweg.conformance.subject import Subject, gradients, numbers, parameters_of_optimizer

THEME = "step"
DESCENT = 200
FAR = 1e4  # much more than three steps go
ALL_TOGETHER = "its steps depend on all parameters together"


@law(THEME)
def steps(s: Subject) -> str:
    """It can be made and stepped."""
    return f"it takes {s.feed}"


@law(THEME)
def moves_every_element(s: Subject) -> str:
    """A step moves every parameter that has a gradient, and keeps it a leaf with its shape and dtype."""
    params = s.params()
    before, count = copies(params), s.silent + 3
    s.run(params, gradients(params, count))
    for p, old in zip(params, before, strict=True):
        still = int((~different(p, old)).sum())
        expect(still == 0, f"{still} of {p.numel()} elements stand still after {count} steps", "all move")
        kept = p.is_leaf and p.requires_grad and p.dtype == old.dtype and p.shape == old.shape
        expect(kept, f"leaf={p.is_leaf}, {p.dtype}, {tuple(p.shape)}", "a leaf with the shape and dtype it had")
    return f"{sum(p.numel() for p in params)} elements moved in {count} steps"


@law(THEME)
def goes_downhill(s: Subject) -> str:
    """On a plain quadratic with the default settings the loss falls."""
    params = s.params()
    optimizer = s.build(params)
    losses = []
    for _ in range(DESCENT):
        losses.append(0.5 * sum(float(p.detach().square().sum()) for p in params))
        s.step(optimizer, copies(params))
    seen = f"the loss goes from {losses[0]:.4g} to {losses[-1]:.4g} in {DESCENT} steps"
    expect(losses[-1] < losses[0], seen, "less than at the start")
    return seen


@law(THEME)
def no_gradient(s: Subject) -> str:
    """A parameter without a gradient neither moves nor gets a state."""
    params = s.params()
    optimizer = s.build(params)
    before, known = params[1].detach().clone(), _state(optimizer, params[1])
    for each in gradients(params, 3):
        s.step(optimizer, [each[0], None])
    same([params[1]], [before], "the parameter without a gradient")
    now = _state(optimizer, params[1])
    expect(now.keys() == known.keys(), f"its state is {sorted(now)}", f"{sorted(known)} as before the first step")
    for name in known:
        same([now[name]], [known[name]], f"its state {name!r}")
    return "3 steps of its neighbor: the same bits, " + (f"state {sorted(now)} untouched" if now else "no state")


def _state(optimizer: torch.optim.Optimizer, p: torch.Tensor) -> dict[str, torch.Tensor]:
    state = optimizer.state.get(p, {})
    return {
        str(name): torch.as_tensor(value, device="cpu").clone() for name, value in state.items() if value is not None
    }


@law(THEME)
def no_gradients_at_all(s: Subject) -> str:
    """A step without any gradient does nothing."""
    params = s.params()
    before = copies(params)
    s.run(params, [[None, None]])
    same(params, before)
    return "nothing moved, nothing raised"


@law(THEME, modes=True)
def late_gradients(s: Subject) -> str:
    """A parameter whose gradients start later is stepped as in a fresh optimizer: it has its own step count."""
    need(not s.couples_parameters, ALL_TOGETHER)
    params, alone = s.params(), [s.params()[1]]
    drawn = gradients(params, 8)
    s.run(params, [*([each[0], None] for each in drawn[:5]), *drawn[5:]])
    s.run(alone, [[each[1]] for each in drawn[5:]])
    same(params[1:], alone, "the parameter that started in step 6")
    return "3 steps after 5 without: the same bits as fresh"


@law(THEME)
def a_missing_gradient(s: Subject) -> str:
    """A parameter that misses a step goes on as if that step had not been."""
    need(not s.couples_parameters, ALL_TOGETHER)
    params, alone = s.params(), [s.params()[1]]
    drawn = gradients(params, 6)
    s.run(params, [[each[0], None if place in (2, 3) else each[1]] for place, each in enumerate(drawn)])
    s.run(alone, [[each[1]] for place, each in enumerate(drawn) if place not in (2, 3)])
    same(params[1:], alone, "the parameter that missed steps 3 and 4")
    return "4 steps with 2 missed between: the same bits"


@law(THEME)
def writes_are_kept(s: Subject) -> str:
    """What is written into a parameter between two steps stays: no copy kept inside brings the old values back."""
    params = s.params()
    drawn = gradients(params, s.silent + 6)
    optimizer = s.run(params, drawn[:-3])
    with torch.no_grad():
        for p in params:
            p.fill_(FAR)
    for each in drawn[-3:]:
        s.step(optimizer, each)
    least = min(float(p.min()) for p in params)
    # Schedule-Free averages, and Prodigy measures how far it has come: both part from a write, and do not undo it.
    expect(least > FAR / 20, f"{least:.4g}, 3 steps after {FAR:g} was written", f"still far out, as {FAR:g}")
    return f"3 steps after {FAR:g} was written: {least:.6g} or more"


@law(THEME)
def new_storage_is_followed(s: Subject) -> str:
    """A parameter given a new `.data` (by `.to()`, or a load with assign) is stepped where it now is."""
    params, plain = s.params(), s.params()
    drawn = gradients(params, 4)
    s.run(plain, drawn)
    optimizer = s.run(params, drawn[:2])
    old = [p.data for p in params]
    for p in params:
        p.data = p.data.clone()
    left = copies(old)
    for each in drawn[2:]:
        s.step(optimizer, each)
    same(old, left, "the storage that was left behind")
    same(params, plain)
    return "2 steps after the move: the same bits, and the old storage is untouched"


@law(THEME)
def autograd_is_told(s: Subject) -> str:
    """A step raises the parameter's version: autograd then refuses a backward pass through the old values."""
    params = s.params()
    before = [p._version for p in params]
    s.run(params, gradients(params, 1))
    told = all(p._version > version for p, version in zip(params, before, strict=True))
    expect(told, f"version {[p._version for p in params]} after, {before} before a step", "a higher one")
    return "the version rises"


@law(THEME)
def no_graph(s: Subject) -> str:
    """Neither a parameter nor its state holds an autograd graph, not even where the gradient has one."""
    params = s.params()
    optimizer = s.build(params)
    for each in gradients(params, 2):
        s.step(optimizer, [g.requires_grad_() * 1.0 for g in each], as_they_are=not s.feed.sparse)
    expect(all(p.grad_fn is None for p in params), "a parameter has a grad_fn", "none")
    for p in params:
        for name, value in _tensors(optimizer, p).items():
            expect(not value.requires_grad, f"state {name!r} requires a gradient", "it does not")
    return "gradients with a graph: none in the state"


def _tensors(optimizer: torch.optim.Optimizer, p: torch.Tensor) -> dict[str, torch.Tensor]:
    return {str(name): value for name, value in optimizer.state.get(p, {}).items() if isinstance(value, torch.Tensor)}


@law(THEME)
def lets_go(s: Subject) -> str:
    """Gradients are freed once the user drops them, and the parameters with the optimizer."""
    params = s.params()
    optimizer = s.build(params)
    for each in gradients(params, 2):
        s.step(optimizer, each)
    grads = [weakref.ref(p.grad) for p in parameters_of_optimizer(optimizer) if p.grad is not None]
    for p in params:
        p.grad = None
    gc.collect()
    alive = sum(ref() is not None for ref in grads)
    expect(alive == 0, f"{alive} of {len(grads)} gradients live on after zero_grad()", "all are freed")
    kept = [weakref.ref(p) for p in params]
    del params, optimizer, p
    gc.collect()
    alive = sum(ref() is not None for ref in kept)
    expect(alive == 0, f"{alive} of {len(kept)} parameters live on without the optimizer", "all are freed")
    return "freed"


@law(THEME)
def state_is_its_own(s: Subject) -> str:
    """The state shares no memory with the gradient: gradients rewritten in place give the same steps as fresh ones."""
    need(not s.feed.sparse, "it takes sparse gradients")
    params, plain = s.params(), s.params()
    drawn = gradients(params, 4)
    s.run(plain, drawn)
    optimizer = s.build(params)
    buffers = [torch.empty_like(p) for p in params]
    for each in drawn:
        for buffer, g in zip(buffers, each, strict=True):
            buffer.detach().copy_(g)
        s.step(optimizer, buffers, as_they_are=True)
        for buffer, junk in zip(buffers, numbers([b.shape for b in buffers], 99), strict=True):
            buffer.copy_(1e3 * junk)
    same(params, plain)
    return "4 steps with one buffer rewritten: the same bits"
