"""Where a model keeps its parameters and buffers, found once: others are put there for a forward pass, many times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Tensor = torch.Tensor


class Slots:
    """The places in a model's modules, by the names that `named_parameters` and `named_buffers` give.

    What the model keeps in several places, tied weights, is put into all of them. It is what `functional_call` finds
    anew in each call.
    """

    def __init__(self, model: nn.Module) -> None:
        named = (*model.named_parameters(), *model.named_buffers())
        names = {id(tensor): name for name, tensor in named}
        self._places: list[tuple[dict[str, Any], str, str]] = [
            (held, key, names[id(tensor)])
            for module in model.modules()
            for held in (module._parameters, module._buffers)
            for key, tensor in held.items()
            if tensor is not None
        ]

    @contextmanager
    def holding(self, tensors: Mapping[str, Tensor]) -> Iterator[None]:
        """The model with these tensors in place of its own."""
        own = [held[key] for held, key, _ in self._places]
        try:
            for held, key, name in self._places:
                held[key] = tensors[name]
            yield
        finally:
            for (held, key, _), tensor in zip(self._places, own, strict=True):
                held[key] = tensor
