"""Random numbers of a forward pass by key in place of by order: dropout and its kin, and torch's random functions.

`Keyed` is put around a forward pass. What it knows it draws from a stream; of anything else torch's own generator
takes care, which a lone run seeds, and which lanes refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from thalweg.lab.random.streams import Stream

Tensor = torch.Tensor
Draw = Callable[..., Any]  # takes the stream, then what the function takes

ALPHA = 1.7580993408473766  # minus the limit of SELU for small numbers: what alpha dropout drops to


class Keyed(TorchFunctionMode):
    """While it is on, random functions draw from `stream`."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream

    def at(self, step: int) -> Keyed:
        """For `with`: the forward pass of this step."""
        self.stream.begin(step)
        return self

    def again(self) -> Keyed:
        """For `with`: the same step, from its first number."""
        return self.at(self.stream.step)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (draw := draw_for(func, args, kwargs)) is not None:
            return draw(self.stream, *args, **kwargs)
        if (body := WRITTEN_IN_PYTHON.get(func)) is not None:
            with self:
                return body(*args, **kwargs)
        return func(*args, **kwargs)


def draw_for(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Draw | None:
    """What is called in place of a function that is about to draw random numbers; None for any other."""
    draw = DRAWS.get(func)
    if draw is attention and not (args[4] if len(args) > 4 else kwargs.get("dropout_p", 0.0)):
        return None  # torch's own kernel
    return None if draw is None or kwargs.get("generator") is not None else draw


def _body(function: Any) -> Any:
    """A composite function of torch whose inner calls are seen: without its own look for overrides, which would hand
    the whole of it over again and again."""
    names = {**function.__globals__, "has_torch_function": _never, "has_torch_function_unary": _never}
    made = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _never(*_: Any) -> bool:
    return False


WRITTEN_IN_PYTHON = {F.multi_head_attention_forward: _body(F.multi_head_attention_forward)}


# -- dropout ------------------------------------------------------------------------------------------------------


def _check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _applied(x: Tensor, made: Tensor, inplace: bool) -> Tensor:
    return x.mul_(made) if inplace else x * made


def _keep_probability(p: float) -> float:
    return 1 / (1 - p) if p < 1 else 0.0


def dropout(stream: Stream, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    _check(p)
    if not training or p == 0:
        return input
    return _applied(input, stream.mask(input.shape, p, _keep_probability(p), input), inplace)


def torch_dropout(stream: Stream, input: Tensor, p: float, train: bool) -> Tensor:
    return dropout(stream, input, p, train)


def torch_dropout_(stream: Stream, input: Tensor, p: float, train: bool) -> Tensor:
    return dropout(stream, input, p, train, inplace=True)


def _by_feature(batched: int | None) -> Draw:
    """Whole channels: one number for each of a row's. `batched`: the dimensions where the first is the batch's."""

    def draw(stream: Stream, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        _check(p)
        if not training or p == 0:
            return input
        return _applied(input, stream.mask(_features(input, batched), p, _keep_probability(p), input), inplace)

    return draw


def _features(x: Tensor, batched: int | None) -> tuple[int, ...]:
    if batched is not None and x.dim() == batched - 1:
        return (x.shape[0], *[1] * (x.dim() - 1))
    return (*x.shape[:2], *[1] * (x.dim() - 2))


def _alpha(by_feature: bool) -> Draw:
    """Drops to SELU's limit, and keeps mean and variance (Klambauer et al. 2017)."""

    def draw(stream: Stream, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
        _check(p)
        if not training or p == 0:
            return input
        kept = stream.mask(_features(input, None) if by_feature else input.shape, p, 1.0, input)
        scale = 1 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p)) if p < 1 else 0.0
        made, added = kept * scale, (kept - 1) * (ALPHA * scale) + ALPHA * scale * p
        return input.mul_(made).add_(added) if inplace else input * made + added

    return draw


def attention(
    stream: Stream,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention with dropout, by its equations."""
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        seen = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
        scores = scores.masked_fill(~seen, -math.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    attended: Tensor = dropout(stream, scores.softmax(-1), dropout_p) @ value
    return attended


# -- numbers ------------------------------------------------------------------------------------------------------


def _normal(stream: Stream, shape: Any, device: Any) -> Tensor:
    made: Tensor = torch.special.ndtri(stream.open_unit(shape, device))
    return made


def _exponential(stream: Stream, shape: Any, device: Any) -> Tensor:
    return -torch.log(stream.open_unit(shape, device))


def _unit(stream: Stream, shape: Any, device: Any) -> Tensor:
    return stream.uniform(shape, device)


def _from_sizes(kind: Draw) -> Draw:
    """torch.rand, torch.randn: from sizes."""

    def draw(
        stream: Stream,
        *size: Any,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        generator: None = None,
        **_: Any,
    ) -> Tensor:
        given = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        shape = tuple(_.pop("size", given))
        made: Tensor = kind(stream, shape, device).to(dtype or torch.get_default_dtype())
        return made.requires_grad_() if requires_grad else made

    return draw


def _like(kind: Draw) -> Draw:
    """torch.rand_like, torch.randn_like."""

    def draw(stream: Stream, input: Tensor, *, dtype: Any = None, device: Any = None, **_: Any) -> Tensor:
        made: Tensor = kind(stream, input.shape, device or input.device)
        return made.to(dtype or input.dtype)

    return draw


def _randint(stream: Stream, *given: Any, dtype: Any = None, device: Any = None, **named: Any) -> Tensor:
    numbers = [*given]
    size = named["size"] if "size" in named else numbers.pop()
    low = named.get("low", numbers[0] if len(numbers) == 2 else 0)
    high = named["high"] if "high" in named else numbers[-1]
    made = stream.below(tuple(size), high - low, device) + low
    cast: Tensor = made.to(dtype or torch.int64)
    return cast


def _randint_like(
    stream: Stream, input: Tensor, *given: int, dtype: Any = None, device: Any = None, **_: Any
) -> Tensor:
    low, high = (0, *given)[-2:]
    made = stream.below(input.shape, high - low, device or input.device) + low
    return made.to(dtype or input.dtype)


def _randperm(stream: Stream, n: int, *, dtype: Any = None, device: Any = None, **_: Any) -> Tensor:
    return torch.argsort(stream.open_unit((n,), device), stable=True).to(dtype or torch.int64)


def _bernoulli(stream: Stream, input: Tensor, p: float | None = None, **_: Any) -> Tensor:
    return (stream.uniform(input.shape, input.device) < (input if p is None else p)).to(input.dtype)


def _bernoulli_(stream: Stream, input: Tensor, p: Any = 0.5, **_: Any) -> Tensor:
    return input.copy_((stream.uniform(input.shape, input.device) < p).to(input.dtype))


def _uniform_(stream: Stream, input: Tensor, a: float = 0.0, b: float = 1.0, **named: Any) -> Tensor:
    a, b = named.get("from", a), named.get("to", b)
    return input.copy_(stream.uniform(input.shape, input.device) * (b - a) + a)


def _normal_(stream: Stream, input: Tensor, mean: float = 0.0, std: float = 1.0, **_: Any) -> Tensor:
    return input.copy_(_normal(stream, input.shape, input.device) * std + mean)


def _exponential_(stream: Stream, input: Tensor, lambd: float = 1.0, **_: Any) -> Tensor:
    return input.copy_(_exponential(stream, input.shape, input.device) / lambd)


def _torch_normal(stream: Stream, mean: Any, std: Any = 1.0, size: Any = None, **named: Any) -> Tensor:
    given: list[Tensor] = [x for x in (mean, std) if isinstance(x, Tensor)]
    shape = size if size is not None else sum(given, torch.zeros((), device="cpu")).shape
    like = given[0] if given else None
    device = named.get("device", None if like is None else like.device)
    dtype = named.get("dtype") or (torch.get_default_dtype() if like is None else like.dtype)
    made: Tensor = _normal(stream, shape, device).to(dtype) * std + mean
    return made


def _gumbel_softmax(
    stream: Stream, logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    noise = -torch.log(_exponential(stream, logits.shape, logits.device)).to(logits.dtype)
    soft = ((logits + noise) / tau).softmax(dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return torch.zeros_like(logits).scatter(dim, index, 1.0) - soft.detach() + soft


DRAWS: Mapping[Any, Draw] = {
    F.dropout: dropout,
    torch.dropout: torch_dropout,
    torch.dropout_: torch_dropout_,
    F.dropout1d: _by_feature(3),
    F.dropout2d: _by_feature(None),
    F.dropout3d: _by_feature(None),
    F.alpha_dropout: _alpha(by_feature=False),
    F.feature_alpha_dropout: _alpha(by_feature=True),
    F.scaled_dot_product_attention: attention,
    F.gumbel_softmax: _gumbel_softmax,
    torch.rand: _from_sizes(_unit),
    torch.randn: _from_sizes(_normal),
    torch.rand_like: _like(_unit),
    torch.randn_like: _like(_normal),
    torch.randint: _randint,
    torch.randint_like: _randint_like,
    torch.randperm: _randperm,
    torch.bernoulli: _bernoulli,
    torch.normal: _torch_normal,
    Tensor.bernoulli: _bernoulli,
    Tensor.bernoulli_: _bernoulli_,
    Tensor.uniform_: _uniform_,
    Tensor.normal_: _normal_,
    Tensor.exponential_: _exponential_,
}
