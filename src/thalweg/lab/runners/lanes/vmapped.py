"""Inside `torch.func.vmap`: what a model sees as one lane's tensor, taken apart into all lanes' and put together again.

vmap splits every function into many small ones, and its gradients multiply matrices in an order of their own. A few
functions that carry most of the work are done here on all lanes at once, with the very operations of a lone run. That
is quicker, and, on one thread, the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._functorch import autograd_function, vmap

Tensor = torch.Tensor
_functorch: Any = torch._C._functorch  # the public interface, an autograd.Function's own vmap, takes 70 us more a call
_one_level: Any = autograd_function.enable_single_level_autograd_function  # type: ignore[attr-defined]
_load: Any = vmap.lazy_load_decompositions  # type: ignore[attr-defined]


@contextmanager
def level(lanes: int) -> Iterator[None]:
    """Inside, tensors can be those of one lane. `torch.func.vmap` and `functional_call` look through all arguments and
    all modules anew in each call, which took 0.12 ms of the 0.43 ms of a small perceptron's forward pass."""
    _load()
    _functorch._vmap_increment_nesting(lanes, "error")
    try:
        yield
    finally:
        _functorch._vmap_decrement_nesting()


def is_lanes(x: Any) -> bool:
    """True for a tensor of which each lane has its own."""
    return isinstance(x, Tensor) and bool(_functorch.is_batchedtensor(x))


def at_top() -> bool:
    """True under the lanes' vmap alone: a model may have transforms of its own."""
    return bool(_functorch.get_dynamic_layer_stack_depth() == 1)


def lanes_first(x: Tensor, lanes: int) -> Tensor:
    """All lanes' tensors, the lanes first; one that they share is repeated without a copy."""
    if not is_lanes(x):
        return x.expand(lanes, *x.shape)
    held: Tensor = _functorch.get_unwrapped(x)
    place = _functorch.maybe_get_bdim(x)
    return held.movedim(place, 0) if place else held


def lane(x: Tensor) -> Tensor:
    """What one lane's model sees of a tensor of all lanes."""
    seen: Tensor = _functorch._add_batch_dim(x, 0, _functorch.maybe_current_level())
    return seen


def apply(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    """A function of whole tensors, whose gradient is that of all lanes."""
    with _one_level():
        return super(torch.autograd.Function, function).apply(*arguments)  # type: ignore[misc]
