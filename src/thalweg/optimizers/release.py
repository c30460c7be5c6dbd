"""Steps inside the backward pass: each parameter is stepped as its gradient is complete, and the gradient freed.

Of a model's gradients only one is then in memory at a time, in place of all.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from types import FrameType
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from thalweg.optimizers.optimizer import Optimizer
from thalweg.optimizers.stepper import Stepper
from thalweg.plan.process_groups import is_flattened
from thalweg.tensors.layout import is_shard

Tensor = torch.Tensor
UNREDUCED = (
    "{} adds gradients up over processes after they have arrived, and a step before that would be of this process's "
    "alone; shard the model by FSDP2 (torch.distributed.fsdp.fully_shard), or step after the backward pass"
)


class Release:
    """What `release_gradients` gives back: `remove()` ends it; it also works in a `with`.

    A reentrant checkpoint runs a backward pass inside the backward pass, and a parameter that is used in several of
    them gets a gradient from each. So a gradient out of such a pass waits for `step()`, until a whole step has shown
    that it is the parameter's only one.
    """

    def __init__(self, optimizer: Optimizer, model: torch.nn.Module, params: list[torch.nn.Parameter]) -> None:
        self._optimizer = optimizer
        self._steppers: dict[Tensor, Stepper] = {}
        self._pass = -1  # the backward pass of `_stepped`
        self._stepped: set[Tensor] = set()  # those stepped in it
        self._inside: Counter[Tensor] = Counter()  # gradients since the last `step()`, out of inner passes
        self._several: set[Tensor] = set()  # those that had one from outside as well
        self._alone: set[Tensor] = set()  # those that have one in a step, out of an inner pass
        self._params = params
        self._shards = _shards(model)
        register: Any = torch.Tensor.register_post_accumulate_grad_hook
        own = set(params)
        owners = [each for each in model.modules() if own.intersection(each._parameters.values())]
        self._handles = [
            model.register_forward_pre_hook(self._check_wrapped),
            *[each.register_forward_pre_hook(_check_alone) for each in owners],
            *[register(p, self._arrived) for p in params],
        ]

    def _arrived(self, param: Tensor) -> None:
        if _within_backward():
            if not self._inside:
                self._expect_step()
            self._inside[param] += 1
            if param in self._stepped or (self._inside[param] > 1 and param in self._alone):
                raise RuntimeError(
                    f"release_gradients: a parameter of shape {tuple(param.shape)} was stepped, and a reentrant "
                    "checkpoint brought one more gradient of the same backward pass, taken at its new value; use "
                    "torch.utils.checkpoint.checkpoint(..., use_reentrant=False)"
                )
            if param in self._alone:
                self._step(param)
            return
        if param in self._inside:
            self._several.add(param)
            return
        now = torch._C._current_graph_task_id()
        if now != self._pass:
            self._pass, self._stepped = now, set()
        self._stepped.add(param)
        self._step(param)

    def _check_wrapped(self, model: torch.nn.Module, _: Any) -> None:
        """RuntimeError in the forward pass of a model that was wrapped since, around or inside."""
        _check_alone(model, _)
        if not _distributed():
            return
        reducer = _reducer(model, self._params)
        if reducer is not None:
            raise RuntimeError(f"release_gradients: {UNREDUCED.format(reducer)}")
        if _shards(model) > self._shards:
            raise RuntimeError(
                "release_gradients: the model was sharded since, which put other parameters in the place of those that "
                "the optimizer has; shard it first (fully_shard), then make the optimizer, then release its gradients"
            )

    def _step(self, param: Tensor) -> None:
        self._steppers[param] = self._optimizer.step_one(param, self._steppers.get(param))
        param.grad = None

    def _expect_step(self) -> None:
        """Look at what came together when `step()` is done."""

        def after(*_: Any) -> None:
            self._alone = {p for p, count in self._inside.items() if count == 1 and p not in self._several}
            self._inside.clear()
            self._several = set()
            self._handles.remove(handle)
            handle.remove()

        handle = self._optimizer.register_step_post_hook(after)
        self._handles.append(handle)

    def remove(self) -> None:
        """From now on gradients stay, and `step()` steps."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> Release:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def release_gradients(model: torch.nn.Module, optimizer: Optimizer) -> Release:
    """Step each of the model's parameters during `backward()`, as soon as its gradient is there, and free the gradient.

    The training loop stays as it is: `optimizer.step()` finds nothing left to do, runs its hooks, and keeps schedulers
    in order. The result is that of stepping at the end, bit for bit. `with release_gradients(model, optimizer): ...`,
    or `remove()` on what is returned, ends it.

    Args:
        model: all of whose parameters that the optimizer has are stepped so; the others keep their gradients.
        optimizer: of `thalweg.optim`.

    It cannot be combined with what needs all gradients at once or more than one backward pass a step: `clip_norm`,
    `on_nonfinite`, a gradient scaler, gradient accumulation, rules that sum over all parameters (Prodigy). ValueError
    for the settings among these, and for DistributedDataParallel and FSDP1, which add gradients up over processes after
    they have arrived; FSDP2 (`fully_shard`) hands gradients over complete. A model that is wrapped or sharded later, as
    a whole or in part, is a RuntimeError in the forward pass, before anything has moved. A parameter that the optimizer
    does not have keeps its gradient.

    >>> import torch, thalweg.optim as optim
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = optim.Adam(model.parameters())
    >>> release = optim.release_gradients(model, optimizer)
    >>> model(torch.ones(2)).sum().backward()
    >>> model.weight.grad is None, optimizer.state[model.weight]["step"].item()
    (True, 1.0)
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"release_gradients(model, optimizer): {type(optimizer)} is not of thalweg.optim")
    if not optimizer.guard.idle:
        guard = optimizer.guard
        raise ValueError(
            f"release_gradients with clip_norm={guard.clip_norm} and on_nonfinite={guard.on_nonfinite!r}: these look "
            "at all gradients at once; allowed are None and 'propagate'"
        )
    for rule in optimizer.rules:
        if rule.summed:
            raise ValueError(f"release_gradients: {rule.name} sums over all parameters before it steps any")
    reducer = _reducer(model, ())
    if reducer is not None:
        raise ValueError(f"release_gradients: {UNREDUCED.format(reducer)}")
    held = {p for group in optimizer.param_groups for p in group["params"]}
    return Release(optimizer, model, [p for p in model.parameters() if p in held and p.requires_grad])


_WITHIN = torch.autograd.function.BackwardCFunction.apply.__code__


def _within_backward() -> bool:
    """True where a backward pass runs inside another one's function, as that of a reentrant checkpoint."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _WITHIN:
            return True
        frame = frame.f_back
    return False


def _check_alone(_: torch.nn.Module, __: Any) -> None:
    """RuntimeError inside the forward pass of DistributedDataParallel."""
    if DistributedDataParallel._active_ddp_module is not None:
        raise RuntimeError(f"release_gradients: {UNREDUCED.format('DistributedDataParallel')}")


def _distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _reducer(model: torch.nn.Module, params: Iterable[torch.nn.Parameter]) -> str | None:
    """What adds the gradients up over processes after they have arrived; None where nothing does."""
    if any(isinstance(module, DistributedDataParallel) for module in model.modules()):
        return "DistributedDataParallel"
    if any(is_flattened(p) for p in (*params, *model.parameters())):
        return "FullyShardedDataParallel (FSDP1)"
    return None


def _shards(model: torch.nn.Module) -> int:
    """How much of a model is sharded: modules of FSDP2, which has its parameters whole inside forward, and DTensors."""
    fsdp = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", ())
    return sum(isinstance(module, fsdp) for module in model.modules()) + sum(map(is_shard, model.parameters()))
