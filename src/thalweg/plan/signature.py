"""What plans take for granted, compared before every step."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any

import numpy as np
import torch

from thalweg.tensors.layout import local
from thalweg.tensors.subclasses import address

Tensor = torch.Tensor
STRIDED = torch.strided
COMPLEX = {torch.complex32, torch.complex64, torch.complex128}
_dtype = attrgetter("dtype")
_data_ptr, _numel, _is_contiguous, _is_neg = Tensor.data_ptr, Tensor.numel, Tensor.is_contiguous, Tensor.is_neg


class Signature:
    """All that plans take for granted. They are good as long as it is unchanged.

    Where the gradients are is not in it: that changes with every `zero_grad()` and is read anew each step. Tensors are
    compared as objects, and by their addresses: a tensor's storage may be moved under it (`.data =`,
    `share_memory_`, `resize_`), and what it left given to another. This is asked in every step, and most of it costs
    a call into torch a tensor, 50 ns: so `map` makes them, and where all tensors answer alike one answer is kept.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        state: Mapping[Tensor, Any],
        groups: list[Any],
        all_ordinary: bool = True,
    ) -> None:
        self._states = held = list(chain.from_iterable(map(dict.values, state.values())))
        classes = {*map(type, gradients)}
        present: Any = gradients
        missing: list[int] = []
        if NoneType in classes:
            present = [g for g in gradients if g is not None]
            missing = [place for place, g in enumerate(gradients) if g is None]
        dtypes = {*map(_dtype, present)}
        self.facts: dict[str, Any] = {
            "groups": groups,
            "inference": torch.is_inference_mode_enabled(),
            "classes": classes,
            "missing": missing,
            "objects": _objects([*params, *state, *held]),
            "states_at": addresses(held, all_ordinary),
            "at": list(map(_data_ptr if all_ordinary else address, params)),
            "sizes": list(map(_numel, params)),
            "order": _order(params),
            "gradients_order": _order(present),
            "dtypes": dtypes if len(dtypes) < 2 else list(map(_dtype, present)),
            "negated": any(map(_is_neg, present)) and list(map(_is_neg, present)),
            "conjugated": dtypes.isdisjoint(COMPLEX) or list(map(Tensor.is_conj, present)),
        }

    def watched(self) -> Signature:
        """The same, to be kept: it holds no object, and hears of states whose memory ends and may be given to another.

        It watches storages, as `torch.utils.swap_tensors` takes no tensor that has a weak reference. Parameters it does
        not watch. All that plans know of one is compared: a new one in the same place is as good.
        """
        self._ended: list[Any] = []
        self._watched = [_observe(each, self._ended) for each in self._states]
        self._states = []
        return self

    def same(self, other: Signature) -> bool:
        """True where all is as it was, for one that is watched."""
        return not self._ended and self.facts == other.facts


def _observe(value: Any, ended: list[Any]) -> Any:
    if isinstance(value, Tensor):
        with suppress(NotImplementedError, RuntimeError):  # it may have none of its own
            value = local(value).untyped_storage()
    try:
        return weakref.ref(value, ended.append)
    except TypeError:  # a number
        return value


def _objects(objects: Sequence[Any]) -> bytes:
    """Which objects these are: a number for each, as `id` has them, at a quarter of its time."""
    return np.fromiter(objects, object, len(objects)).tobytes()


def _order(tensors: Sequence[Tensor]) -> Any:
    """How dimensions follow each other in memory."""
    try:
        if all(map(_is_contiguous, tensors)):  # False for sparse ones, whose strides may be an expanded's
            return True
    except RuntimeError:  # compressed ones do not say
        pass
    return [(t.layout, t.layout is STRIDED and t.stride()) for t in tensors]


def addresses(held: Sequence[Any], all_ordinary: bool = True) -> list[int]:
    """Where states are. Nearly always all are plain tensors: 40 ns each."""
    try:
        if all_ordinary:
            return list(map(_data_ptr, held))
    except (TypeError, RuntimeError):  # a number among them, or a shard
        pass
    return [address(local(value)) if isinstance(value, Tensor) else 0 for value in held]
