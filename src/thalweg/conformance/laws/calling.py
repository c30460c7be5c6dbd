"""How a step is called: with a closure, under no_grad, with hooks, by a GradScaler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from thalweg.conformance.evidence import copies, same
from thalweg.conformance.law import expect, law, need
from thalweg.conformance.laws.determinism import empty_is_nan
from thalweg.conformance.subject import Gradients, Subject, gradients, refusals

THEME = "calling"
SCALE = 4.0  # a power of two: scaling and unscaling with it changes no bit


def give(s: Subject, params: list[torch.nn.Parameter], values: Gradients) -> None:
    """Set the gradients."""
    for p, g in zip(params, values, strict=True):
        p.grad = None if g is None else g.to_sparse(1) if s.feed.sparse else g.clone()


@law(THEME)
def closure(s: Subject) -> str:
    """A closure is called once, with gradients enabled even under no_grad, before the step; its loss is returned."""
    params, plain = s.params(), s.params()
    drawn = gradients(plain, 3)
    s.run(plain, drawn)
    optimizer, calls, losses = s.build(params), [0], []
    now: dict[str, Any] = {}

    def compute() -> Any:
        calls[0] += 1
        expect(torch.is_grad_enabled(), "the closure runs without gradients", "torch.is_grad_enabled()")
        give(s, params, now["gradients"])
        return torch.tensor(now["loss"], device="cpu")

    for place, each in enumerate(drawn):
        now.update(gradients=each, loss=float(place))
        with torch.no_grad():
            losses.append(_with_closure(optimizer, compute))
    expect([float(loss) for loss in losses] == [0.0, 1.0, 2.0], f"step() returns {losses}", "the closure's losses")
    if s.feed.closure:
        return f"{calls[0]} calls in 3 steps; the first loss of each is returned"
    expect(calls[0] == 3, f"{calls[0]} calls in 3 steps", "3")
    same(params, plain)
    return "3 calls in 3 steps, each loss returned, the same bits as without"


def _with_closure(optimizer: torch.optim.Optimizer, compute: Callable[[], Any]) -> Any:
    with refusals():
        return optimizer.step(compute)


@law(THEME)
def under_no_grad(s: Subject) -> str:
    """A step under torch.no_grad() is the same step."""
    params, plain = s.params(), s.params()
    drawn = gradients(plain, 3)
    s.run(plain, drawn)
    with torch.no_grad():
        s.run(params, drawn)
    same(params, plain)
    return "3 steps: the same bits"


@law(THEME)
def step_hooks(s: Subject) -> str:
    """Hooks are called once a step: the first before anything moves, the second after."""
    params = s.params()
    optimizer, heard = s.run(params, gradients(params, s.silent)), []
    start = copies(params)
    for each in gradients(params, 2):
        before = copies(params)
        hooks = [
            optimizer.register_step_pre_hook(lambda *_, old=before: heard.append(("pre", _equal(params, old)))),
            optimizer.register_step_post_hook(lambda *_, old=before: heard.append(("post", _equal(params, old)))),
        ]
        s.step(optimizer, each)
        for hook in hooks:
            hook.remove()
    s.step(optimizer, gradients(params, 1)[0])
    wanted = [("pre", True), ("post", False)] * 2
    expect(heard == wanted, f"called (name, nothing moved yet) {heard}", f"{wanted}")
    assert not _equal(params, start)
    return "pre, post in each of 2 steps, silent once removed"


def _equal(a: Any, b: Any) -> bool:
    return all(torch.equal(x.detach(), y) for x, y in zip(a, b, strict=True))


@law(THEME)
def checkpoint_hooks(s: Subject) -> str:
    """Hooks around state_dict and load_state_dict are called, and what they return counts."""
    params = s.params()
    optimizer, heard = s.run(params, gradients(params, 1)), []
    optimizer.register_state_dict_pre_hook(lambda *_: heard.append("save"))
    optimizer.register_state_dict_post_hook(lambda _, saved: {**saved, "note": "mine"})
    saved = optimizer.state_dict()
    expect(saved.get("note") == "mine", f"keys {sorted(saved)}", "'note', which a post hook adds")
    optimizer.register_load_state_dict_pre_hook(lambda _, given: heard.append(f"load {given['note']}"))
    optimizer.register_load_state_dict_post_hook(lambda *_: heard.append("loaded"))
    with refusals():
        optimizer.load_state_dict(saved)
    wanted = ["save", "load mine", "loaded"]
    expect(heard == wanted, f"called {heard}", f"{wanted}")
    return ", ".join(heard)


@law(THEME, modes=True)
def a_step_skipped_by_a_scaler(s: Subject) -> str:
    """A first step that GradScaler skips (an infinite gradient) leaves no trace: what follows is as if it never was."""
    need(not s.feed.closure, "GradScaler takes no closures")
    need(not s.feed.sparse, "it takes sparse gradients")
    params, plain = s.params(), s.params()
    drawn = gradients(plain, 3)
    s.run(plain, drawn)
    infinite = [torch.full_like(p, math.inf) for p in params]
    with empty_is_nan():  # a state that the skipped step makes and does not fill then shows
        _scaled(s, params, [infinite, *drawn])
    s.near(params, plain, 3, "3 steps after the skipped one, the parameters")
    return "3 steps after it: as never skipped"


@law(THEME)
def scaled_gradients(s: Subject) -> str:
    """Under a GradScaler the steps are those of the unscaled gradients."""
    need(not s.feed.closure, "GradScaler takes no closures")
    need(not s.feed.sparse, "it takes sparse gradients")
    params, plain = s.params(), s.params()
    drawn = gradients(plain, 3)
    s.run(plain, drawn)
    _scaled(s, params, drawn)
    s.near(params, plain, 3)
    return f"3 steps, scale {SCALE:g}: as unscaled"


def _scaled(s: Subject, params: list[torch.nn.Parameter], steps: list[list[torch.Tensor]]) -> None:
    """Step over gradients as a GradScaler gives them: multiplied by its scale."""
    optimizer = s.build(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=1000, backoff_factor=0.5)
    for each in steps:
        scale = float(scaler.scale(torch.ones((), device="cpu")))
        give(s, params, [scale * g for g in each])
        with refusals():
            scaler.step(optimizer)
            scaler.update()
