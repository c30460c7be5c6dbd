"""Operations that give gradients, in every form in which autograd and scripts make them, and step."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable

import torch

from fuzz.operations import Dice, Setting, Side, dense, operation
from fuzz.sides import takes_sparse

Tensor = torch.Tensor
Kind = Callable[[Tensor, Dice], Tensor]


def give(side: Side, dice: Dice, kind: Kind | None = None, share: float = 0.6) -> None:
    """Fresh gradients for all parameters, of another `kind` for a share of them."""
    for p in side.params:
        special = dice.chance(share)
        g = kind(p, dice) if kind and special else fresh(p, dice)
        if side.case.sparse:
            g = maybe_sparse(side, p, g, dice)
        p.grad = g


def turned(tensor: Tensor) -> Tensor:
    """The same numbers, with the dimensions in memory in reverse order."""
    order = tuple(reversed(range(tensor.dim())))
    return tensor.permute(order).contiguous().permute(order)


def fresh(p: Tensor, dice: Dice) -> Tensor:
    return dice.gradient(p)


def maybe_sparse(side: Side, p: Tensor, g: Tensor, dice: Dice) -> Tensor:
    """Some rows of a gradient as a sparse one: repeated, unsorted, or none."""
    count = dice.one((0, 1, 3, 2 * max(p.shape[0], 1))) if p.dim() else 0
    rows = torch.randint(0, max(p.shape[0], 1) if p.dim() else 1, (1, count), generator=dice.generator)
    wanted = side.case.sparse == "only" or dice.chance(0.6)
    if not wanted or not p.numel() or not takes_sparse(p, side.settings_of(p), side.case):
        return g
    made = torch.sparse_coo_tensor(rows, g.contiguous()[rows[0]], p.shape)
    return made.coalesce() if dice.chance(0.3) else made


@operation(weight=10)
def step(side: Side, dice: Dice) -> None:
    give(side, dice)
    side.step()


@operation(weight=4)
def several_steps(side: Side, dice: Dice) -> None:
    for _ in range(dice.random.randint(2, 5)):
        give(side, dice)
        side.step()


@operation(weight=3)
def skip_some(side: Side, dice: Dice) -> None:
    """Some parameters have no gradient; several times in a row, so that their ages part."""
    left_out = [dice.chance(0.5) for _ in side.params]
    for _ in range(dice.random.randint(1, 3)):
        give(side, dice)
        for p, out in zip(side.params, left_out, strict=True):
            if out:
                p.grad = None
        side.step()


@operation(weight=1)
def no_gradients(side: Side, dice: Dice) -> None:
    side.optimizer.zero_grad()
    side.step()


@operation(weight=1)
def zero_gradients(side: Side, dice: Dice) -> None:
    give(side, dice, lambda p, dice: torch.zeros_like(p).detach())
    side.step()


@operation(allowed=dense)
def transposed(side: Side, dice: Dice) -> None:
    give(side, dice, lambda p, dice: turned(dice.gradient(p)))
    side.step()


@operation(allowed=dense)
def expanded(side: Side, dice: Dice) -> None:
    """As `p.sum().backward()` and broadcasting leave them."""

    def kind(p: Tensor, dice: Dice) -> Tensor:
        keep = dice.random.randint(0, p.dim())
        shape = [1] * keep + list(p.shape[keep:])
        return dice.normal(shape, p.dtype).expand(p.shape)

    give(side, dice, kind)
    side.step()


@operation(allowed=dense)
def sliced(side: Side, dice: Dice) -> None:
    """A part of a larger tensor: with gaps, or flat at an odd address."""

    def kind(p: Tensor, dice: Dice) -> Tensor:
        if dice.chance(0.5) or not p.dim():
            room = dice.normal((p.numel() + 3,), p.dtype)
            return room[3:].view(p.shape)
        return dice.normal([2 * size for size in p.shape], p.dtype)[tuple(slice(None, None, 2) for _ in p.shape)]

    give(side, dice, kind)
    side.step()


@operation(allowed=dense)
def channels_last_gradient(side: Side, dice: Dice) -> None:
    def kind(p: Tensor, dice: Dice) -> Tensor:
        g = dice.gradient(p)
        return g.contiguous(memory_format=torch.channels_last) if g.dim() == 4 else g

    give(side, dice, kind, share=1.0)
    side.step()


@operation(allowed=dense)
def negated(side: Side, dice: Dice) -> None:
    """torch notes the sign on the tensor and leaves the numbers."""
    give(side, dice, lambda p, dice: torch._neg_view(dice.gradient(p)))
    side.step()


@operation(allowed=lambda setting: setting.complex)
def conjugated(side: Side, dice: Dice) -> None:
    """The same for complex conjugates; the imaginary part of one is a negated view."""

    def kind(p: Tensor, dice: Dice) -> Tensor:
        if p.is_complex():
            return dice.gradient(p).conj()
        return dice.normal(p.shape, torch.complex128).conj().imag.to(p.dtype) if dice.chance(0.5) else fresh(p, dice)

    give(side, dice, kind)
    side.step()


@operation()
def reallocate(side: Side, dice: Dice) -> None:
    """Gradients are freed, others take their places in memory, and the new ones come elsewhere."""
    sizes = [(p.shape, p.dtype) for p in side.params]
    side.optimizer.zero_grad(set_to_none=True)
    if dice.chance(0.3):
        gc.collect(0)
    side.junk = [torch.full(shape, math.nan, dtype=dtype) for shape, dtype in sizes]
    give(side, dice)
    side.step()
    side.junk = side.junk[::2]


@operation()
def are_gradients_freed(side: Side, dice: Dice) -> None:
    """After the step nobody but the parameter holds a gradient."""
    give(side, dice)
    side.step()
    alive = [weakref.ref(p.grad) for p in side.params]
    side.optimizer.zero_grad(set_to_none=True)
    side.notes.append(sum(each() is not None for each in alive))


@operation()
def same_gradients_again(side: Side, dice: Dice) -> None:
    side.step()


@operation()
def accumulate(side: Side, dice: Dice) -> None:
    """Two more backward passes on top of what is there."""
    drop_views(side)
    for _ in range(2):
        backward(side, dice)
    side.step()


@operation()
def accumulate_in_place(side: Side, dice: Dice) -> None:
    drop_views(side)
    for p in side.params:
        g = dice.gradient(p)
        if p.grad is None or p.grad.is_sparse:
            p.grad = maybe_sparse(side, p, g, dice)
        else:
            p.grad.add_(g)
    side.step()


@operation()
def zero_in_place(side: Side, dice: Dice) -> None:
    drop_views(side)
    side.optimizer.zero_grad(set_to_none=False)


@operation()
def zero_to_none(side: Side, dice: Dice) -> None:
    side.optimizer.zero_grad(set_to_none=True)


def drop_views(side: Side) -> None:
    """torch cannot write an expanded gradient."""
    for p in side.params:
        if p.grad is not None and p.grad._is_view():
            p.grad = None


def backward(side: Side, dice: Dice) -> Tensor:
    """Gradients by autograd: of a sum of all parameters with random weights."""
    loss = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for p in side.params:
        weights = dice.gradient(p)
        if side.case.sparse == "only":
            if p.requires_grad:
                p.grad = maybe_sparse(side, p, weights, dice)
            continue
        if p.requires_grad:
            product = weights.conj() * p
            loss = loss + (product.real if product.is_complex() else product).double().sum()
    loss.backward()
    return loss


@operation(weight=3)
def step_closure(side: Side, dice: Dice) -> None:
    seen = []

    def closure() -> Tensor:
        side.optimizer.zero_grad(set_to_none=side.case.sparse == "only" or len(seen) % 2 == 0)
        seen.append(backward(side, dice))
        return seen[-1]

    drop_views(side)
    returned = side.step(closure)
    side.notes.append((len(seen), returned is seen[-1] or "raised" in side.notes[-1:]))


@operation(weight=1)
def closure_raises(side: Side, dice: Dice) -> None:
    """Nothing moves."""
    give(side, dice)

    def closure() -> Tensor:
        raise KeyError("planned")

    try:
        side.step(closure)
    except KeyError:
        side.notes.append("refused")


def visible(setting: Setting) -> bool:
    # torch's Rprop takes no step where a gradient is NaN; ours shows it
    return not setting.case.sparse and not (setting.torch and setting.case.name == "Rprop")


@operation(weight=1, allowed=visible)
def nan_gradient(side: Side, dice: Dice) -> None:
    nonfinite(side, dice, math.nan)


@operation(weight=1, allowed=visible)
def infinite_gradient(side: Side, dice: Dice) -> None:
    # torch's `lerp` makes NaN of an infinite moment, m + w (g - m), where beta m + (1 - beta) g keeps it infinite
    shown = side.beside_torch and side.limit["on_nonfinite"] == "propagate"
    nonfinite(side, dice, dice.one((1.0, -1.0)) * (1.0 if shown else math.inf))


def nonfinite(side: Side, dice: Dice, value: float) -> None:
    """One element of one gradient."""
    give(side, dice)
    p = dice.one(side.params)
    place = dice.random.randrange(max(p.numel(), 1))
    if p.numel():
        # both parts of a complex number: torch multiplies it by a complex rate, which spreads a NaN over both
        p.grad.view(-1)[place] = complex(value, value) if p.is_complex() else value
    side.step()
