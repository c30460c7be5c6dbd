"""How gradients come together between two steps: how many backward passes, and whether onto the last step's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Accumulation:
    """Watches the smallest parameter: what came in, and what stood there after it was added.

    After the first backward pass of a step the gradient is what came in, unless the last step's was still there. A pass
    that comes upon none begins the step anew: what came before it was zeroed, as where a GAN's generator sends its
    gradients through the discriminator.

    Args:
        params: what is trained.
        anew: called where a pass begins the step anew.
    """

    def __init__(self, params: Sequence[Tensor], anew: Callable[[], None]) -> None:
        self.handles: list[Any] = []
        usable = [p for p in params if p.requires_grad and p.numel() > 0]
        self.param = min(usable, key=lambda p: (_hooks(p) > 0, p.numel())) if usable else None
        self.anew = anew
        self.passes = 0
        self.first = True  # no step before: what is there may be on purpose
        self.added: bool | None = None  # None: not looked
        self.foreign = False  # gradients came that were zeroed again, and in no step
        self.incoming: Tensor | None = None

    def hook(self, on: bool) -> None:
        """Hooks on or off: off costs a step nothing."""
        if on and not self.handles and self.param is not None:
            self.handles = [
                self.param.register_hook(self._arrives),  # type: ignore[no-untyped-call]
                self.param.register_post_accumulate_grad_hook(self._arrived),  # type: ignore[no-untyped-call]
            ]
        elif not on:
            for handle in self.handles:
                handle.remove()
            self.handles = []

    def since_last_step(self) -> tuple[int, bool | None]:
        """Backward passes, and whether the first was added to an old gradient (None: not known). Counts anew."""
        counted = self.passes, None if self.first else self.added
        self.passes, self.added, self.first = 0, None, False
        return counted

    def _arrives(self, gradient: Tensor) -> None:
        self.incoming = gradient.detach().clone()

    def _arrived(self, param: Tensor) -> None:
        self.passes += 1
        incoming, self.incoming = self.incoming, None
        if _hooks(param) > len(self.handles):  # the user's, which may change a gradient as it comes in
            return
        if incoming is not None and param.grad is not None and not param.grad.is_sparse:
            same = param.grad.to(incoming.dtype)
            added = not torch.equal(same, incoming)  # the quicker question, of which the other is seldom needed
            added = added and not torch.allclose(same, incoming, rtol=1e-3, atol=0.0, equal_nan=True)
            if self.passes == 1:
                self.added = added
            elif not added and incoming.any():
                self.foreign = self.foreign or bool(self.added)
                self.passes, self.added = 1, False
                self.anew()


def _hooks(param: Tensor) -> int:
    return len(param._backward_hooks or ()) + len(getattr(param, "_post_accumulate_grad_hooks", None) or ())
