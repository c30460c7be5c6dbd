"""What is on around a stacked forward pass: keyed random numbers for every lane, and functions for all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from thalweg.lab.random.keyed import Keyed, draw_for
from thalweg.lab.random.streams import Shape, Stream
from thalweg.lab.runners.lanes.functions import WHOLE
from thalweg.lab.runners.lanes.vmapped import at_top, lane

Tensor = torch.Tensor


class Streams(Stream):
    """The streams of all lanes. Lanes of one seed share their numbers: each is drawn once."""

    def __init__(self, roots: Sequence[int], places: Sequence[int]) -> None:
        super().__init__(0)
        self.roots = list(roots)
        self.places = torch.tensor(places, device="cpu")  # which root each lane has

    def _given(self, made: Tensor, shape: Shape) -> Tensor:
        made = made.view(len(self.roots), *shape)
        return lane(made.index_select(0, self.places.to(made.device)))


class StackedForward(Keyed):
    """While it is on, under the lanes' vmap, `lanes` models are trained as one."""

    def __init__(self, stream: Streams, lanes: int) -> None:
        super().__init__(stream)
        self.lanes = lanes

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (together := WHOLE.get(func)) is not None and draw_for(func, args, kwargs) is None and at_top():
            made = together(self.lanes, *args, **kwargs)
            if made is not None:
                return made
        return super().__torch_function__(func, types, args, kwargs)
