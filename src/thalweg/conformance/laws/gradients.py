"""What a step does with gradients: it reads them."""

from __future__ import annotations

from collections.abc import Callable

import torch

from thalweg.conformance.evidence import same
from thalweg.conformance.law import expect, law, need
from thalweg.conformance.subject import Subject, gradients

THEME = "gradients"


@law(THEME, modes=True)
def gradients_are_left_alone(s: Subject) -> str:
    """A step leaves every gradient as it was, bit for bit."""
    params = s.params()
    optimizer = s.build(params)
    for each in gradients(params, 3):
        s.step(optimizer, each)
        for p, g in zip(params, each, strict=True):
            expect(p.grad is not None, "the gradient is gone after the step", "it stays")
            assert p.grad is not None
            same([p.grad.to_dense() if p.grad.is_sparse else p.grad], [g], "the gradients after the step")
    return "3 steps: the same bits"


@law(THEME)
def gradients_may_move(s: Subject) -> str:
    """A gradient that is freed and lies elsewhere in the next step is found there."""
    need(not s.feed.sparse, "it takes sparse gradients")
    params, plain = s.params(), s.params()
    buffers, kept = [torch.empty_like(p).detach() for p in plain], []
    moving, staying = s.build(params), s.build(plain)
    for each in gradients(plain, 4):
        for buffer, g in zip(buffers, each, strict=True):
            buffer.copy_(g)
        s.step(staying, buffers, as_they_are=True)
        s.step(moving, each)
        for p in params:
            p.grad = None
        kept.append([torch.full_like(p, 1e3) for p in params])  # takes the place that was freed
    same(params, plain)
    return f"{len(kept)} steps, new memory in each: the same bits"


@law(THEME)
def zero_grad(s: Subject) -> str:
    """zero_grad() takes the gradients away, and with set_to_none=False makes them zero."""
    params = s.params()
    optimizer = s.run(params, gradients(params, 1))
    optimizer.zero_grad(set_to_none=False)
    zero = all(p.grad is not None and not p.grad.to_dense().any() for p in params)
    expect(zero, "a gradient that is not zero", "zeros")
    optimizer.zero_grad()
    expect(all(p.grad is None for p in params), "a gradient is still there", "None")
    return "None; with set_to_none=False zeros"


@law(THEME, may_refuse=True)
def sparse_gradients(s: Subject) -> str:
    """A sparse gradient that touches every row, some twice, is refused or steps as the dense one does."""
    need(not s.feed.matrices, "it takes matrices only, by their norms")
    rows = torch.tensor([0, 1, 2, 3, 1, 3], device="cpu")
    sparse, dense = s.params((4, 3)), s.params((4, 3))
    mine, theirs = s.build(sparse), s.build(dense)
    for step in range(3):
        values = gradients([torch.zeros(6, 3, device="cpu")], 1, seed=5 + step)[0][0]
        g = torch.sparse_coo_tensor(rows[None], values, (4, 3), check_invariants=True)
        s.step(mine, [g], as_they_are=not s.feed.closure)
        s.step(theirs, [g.to_dense()])
    s.near(sparse, dense, 3)
    return "3 steps, 2 of 4 rows twice: as the dense gradient"


@law(THEME, may_refuse=True)
def gradient_strides(s: Subject) -> str:
    """A gradient laid out unlike its parameter (transposed, expanded, with gaps) steps as a contiguous one."""
    need(not s.feed.sparse, "it takes sparse gradients")
    wide = gradients([torch.zeros(12, 20, device="cpu")], 3, seed=7)
    cuts: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "transposed": lambda g: g[:5, :6].transpose(0, 1),
        "expanded": lambda g: g[:6, :1].expand(6, 5),
        "with gaps": lambda g: g[::2, ::4],
        "off by one": lambda g: g.flatten()[1:31].view(6, 5),
    }
    for name, cut in cuts.items():
        strange, plain = s.params((6, 5)), s.params((6, 5))
        mine, theirs = s.build(strange), s.build(plain)
        for [g] in wide:
            s.step(mine, [cut(g.clone())], as_they_are=True)
            s.step(theirs, [cut(g).contiguous()])
        s.near(strange, plain, 3, f"with a gradient {name}, the parameters")
    return f"{', '.join(cuts)}: as contiguous"
