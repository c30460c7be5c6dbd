"""K copies of a model as one: each parameter and buffer gains a first dimension, the lane's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from thalweg.lab.runners.lanes import vmapped
from thalweg.lab.runners.lanes.forward import StackedForward, Streams
from thalweg.lab.runners.lanes.refusal import CannotRide
from thalweg.lab.runners.lanes.slots import Slots
from thalweg.lab.task.task import Task
from thalweg.lab.training.decay import squares

Tensor = torch.Tensor
Tensors = dict[str, Tensor]
Weights = tuple[Tensors, Tensors]  # parameters and buffers, the lanes first
Question = Callable[[nn.Module, Any], Any]


class Shared:
    """A tensor that all lanes share."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class Stack:
    """The lanes' models. `lanes[k]` are the parameters of lane k, as an optimizer takes them: views of the whole.

    Args:
        models: an initialized model for each seed.
        seeds: the seed of each lane.
    """

    def __init__(self, task: Task, models: Mapping[int, nn.Module], seeds: Sequence[int]) -> None:
        self.task = task
        self.model = next(iter(models.values()))  # gives the code; its own numbers are not used
        self.places = Slots(self.model)
        self.trained = [name for name, p in self.model.named_parameters() if p.requires_grad]
        self.parameters = _stacked({seed: dict(model.named_parameters()) for seed, model in models.items()}, seeds)
        self.buffers = _stacked({seed: dict(model.named_buffers()) for seed, model in models.items()}, seeds)
        self.lanes = [
            [nn.Parameter(whole[k], requires_grad=name in self.trained) for name, whole in self.parameters.items()]
            for k in range(len(seeds))
        ]
        self._record()

    def __len__(self) -> int:
        return len(self.lanes)

    def _record(self) -> None:
        for name in self.trained:
            self.parameters[name].requires_grad_()

    @contextmanager
    def model_of(self, k: int) -> Iterator[nn.Module]:
        """The model with the parameters of lane k as its own."""
        lane = dict(zip(self.parameters, self.lanes[k], strict=True))
        with self.places.holding({**lane, **{name: whole[k] for name, whole in self.buffers.items()}}):
            yield self.model

    def select(self, kept: Sequence[int]) -> None:
        """Keep these lanes alone; their parameters stay the same objects, in new places."""
        chosen = torch.tensor(kept, device="cpu")
        for held in (self.parameters, self.buffers):
            for name, whole in held.items():
                held[name] = whole.detach().index_select(0, chosen.to(whole.device))
        self.lanes = [self.lanes[k] for k in kept]
        self.settle()
        self._record()

    def settle(self) -> None:
        """Make each lane's parameters views of the whole again, wherever an optimizer has put them."""
        for k, lane in enumerate(self.lanes):
            for p, whole in zip(lane, self.parameters.values(), strict=True):
                p.data = whole.data[k]

    def losses_and_gradients(self, batch: Any, streams: Streams) -> tuple[Tensor, list[Tensor | None]]:
        """The loss of each lane; and, for each parameter, the gradient of all lanes, None where there is none.

        `batch`: tensors with the lanes first, or `Shared` ones.
        """
        losses, minimised = self.ask(self._question, batch, streams)
        if not isinstance(losses, Tensor) or losses.numel() != len(self) or not minimised.requires_grad:
            raise CannotRide("the loss is no scalar with a gradient")
        leaves = [self.parameters[name] for name in self.trained]
        # The sum, not the mean: each lane's gradient is that of its own loss.
        found = iter(torch.autograd.grad(minimised.sum(), leaves, allow_unused=True))
        gradients = [next(found) if name in self.trained else None for name in self.parameters]
        return losses.detach().flatten(), gradients

    def _question(self, model: nn.Module, batch: Any) -> Any:
        """The loss that is reported, and the one that is minimised."""
        loss = self.task.compute_loss(model, batch)
        if not self.task.l2:
            return loss, loss
        held = dict(model.named_parameters())  # of these none tells vmap that it is trained
        return loss, loss + squares(self.task.l2, [held[name] for name in self.trained])

    def ask(self, question: Question, batch: Any, streams: Streams, weights: Weights | None = None) -> Any:
        """What `question(model, batch)` gives in each lane, stacked; of the stack's weights, or of others."""
        parameters, buffers = weights or (self.parameters, self.buffers)
        lanes = len(next(iter(parameters.values())))
        with vmapped.level(lanes):
            given = {name: vmapped.lane(whole) for held in (parameters, buffers) for name, whole in held.items()}
            parts = pytree.tree_map(_lent, batch)
            with self.places.holding(given), StackedForward(streams, lanes):
                answer = question(self.model, parts)
            return pytree.tree_map(partial(_given_back, lanes), answer)

    def weights(self, k: int) -> Weights:
        """A copy of lane k's parameters and buffers."""
        return _copy(self.parameters, k), _copy(self.buffers, k)


def join(weights: Sequence[Weights]) -> Weights:
    """The weights of several lanes as those of a stack."""
    parameters, buffers = zip(*weights, strict=True)
    return _joined(parameters), _joined(buffers)


def put_into(model: nn.Module, weights: Weights, k: int) -> None:
    """Give a real model the numbers of lane k."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weights[0][name][k])
        for name, buffer in model.named_buffers():
            buffer.copy_(weights[1][name][k])


def _lent(part: Any) -> Any:
    """What one lane sees of a part of a batch."""
    if isinstance(part, Shared):
        return part.tensor
    return vmapped.lane(part) if isinstance(part, Tensor) else part


def _given_back(lanes: int, part: Any) -> Tensor:
    if not isinstance(part, Tensor):
        raise CannotRide(f"the model or the loss gives a {type(part).__name__}, where lanes need tensors")
    return vmapped.lanes_first(part, lanes)


def _copy(held: Tensors, k: int) -> Tensors:
    return {name: whole.detach()[k].clone() for name, whole in held.items()}


def _joined(held: Sequence[Tensors]) -> Tensors:
    return {name: torch.stack([one[name] for one in held]) for name in held[0]}


def _stacked(held: Mapping[int, Mapping[str, Tensor]], seeds: Sequence[int]) -> dict[str, Tensor]:
    """One of each name, the lanes first."""
    names = next(iter(held.values()))
    if any(
        {name: t.shape for name, t in one.items()} != {n: t.shape for n, t in names.items()} for one in held.values()
    ):
        raise CannotRide("models of different seeds have different parameters")
    return {name: torch.stack([held[seed][name].detach() for seed in seeds]) for name in names}
