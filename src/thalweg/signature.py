"""What plans take for granted, compared before every step."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from typing import Any

import torch

from thalweg.memory import local
from thalweg.subclasses import address

Tensor = torch.Tensor
STRIDED = torch.strided


class Signature:
    """All that plans take for granted. They are good as long as it is unchanged.

    Where the gradients are is not in it: that changes with every `zero_grad()` and is read anew each step. Tensors are
    compared as objects, and by their addresses: a tensor's storage may be moved under it (`.data =`,
    `share_memory_`, `resize_`), and what it left given to another. This is asked in every step: a column for each fact,
    filled by `map`, takes 0.4 us a parameter of Adam, a tuple for each tensor twice as long.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        state: Mapping[Tensor, Any],
        groups: list[Any],
        all_ordinary: bool = True,
    ) -> None:
        held = list(chain.from_iterable(map(dict.values, state.values())))
        present = [g for g in gradients if g is not None]
        dtypes = list(map(attrgetter("dtype"), present))
        self._states = held
        complex_ones = any(dtype.is_complex for dtype in {*dtypes})
        self.facts: dict[str, Any] = {
            "groups": groups,
            "objects": list(map(id, chain(params, state, held))),
            "states_at": addresses(held, all_ordinary),
            "at": list(map(Tensor.data_ptr if all_ordinary else address, params)),
            "sizes": list(map(Tensor.numel, params)),
            "order": _order(params),
            "missing": [place for place, g in enumerate(gradients) if g is None] if len(present) < len(params) else [],
            "dtypes": dtypes,
            "classes": {*map(type, present)},
            "inference": torch.is_inference_mode_enabled(),
            "gradients_order": _order(present),
            "negated": list(map(Tensor.is_neg, present)),
            "conjugated": list(map(Tensor.is_conj, present)) if complex_ones else [],
        }

    def watched(self) -> Signature:
        """The same, to be kept: it holds no object, and hears of states whose memory ends and may be given to another.

        It watches storages, as `torch.utils.swap_tensors` takes no tensor that has a weak reference. Parameters it does
        not watch. All that plans know of one is compared: a new one in the same place is as good.
        """
        self._ended: list[Any] = []
        self._watched = [_watch(each, self._ended) for each in self._states]
        self._states = []
        return self

    def same(self, other: Signature) -> bool:
        """True where all is as it was, for one that is watched."""
        return not self._ended and self.facts == other.facts


def _watch(value: Any, ended: list[Any]) -> Any:
    if isinstance(value, Tensor):
        with suppress(NotImplementedError, RuntimeError):  # it may have none of its own
            value = local(value).untyped_storage()
    try:
        return weakref.ref(value, ended.append)
    except TypeError:  # a number
        return value


def _order(tensors: Sequence[Tensor]) -> list[Any]:
    """How dimensions follow each other in memory."""
    try:
        plain = list(map(Tensor.is_contiguous, tensors))  # False for sparse ones, whose strides may be an expanded's
    except RuntimeError:  # compressed ones do not say
        plain = [False]
    return plain if all(plain) else [(t.layout, t.layout is STRIDED and t.stride()) for t in tensors]


def addresses(held: Sequence[Any], all_ordinary: bool = True) -> list[int]:
    """Where states are. Nearly always all are plain tensors: 40 ns each."""
    try:
        if all_ordinary:
            return list(map(Tensor.data_ptr, held))
    except (TypeError, RuntimeError):  # a number among them, or a shard
        pass
    return [address(local(value)) if isinstance(value, Tensor) else 0 for value in held]
