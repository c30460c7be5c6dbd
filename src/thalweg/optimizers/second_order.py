"""The face of rules that take the diagonal of the loss's Hessian: it estimates it by Hutchinson's method.

With z of 1 and -1 by chance the mean of z * (H z) is the diagonal of H, and H z is the gradient of <g, z>: one more
backward pass, through the graph of the first (Bekas, Kokiopoulou and Saad 2007, Applied Numerical Mathematics 57).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from thalweg.optimizers.optimizer import Optimizer
from thalweg.optimizers.replicas import averaged, replicated, used_anywhere
from thalweg.optimizers.stepper import Stepper
from thalweg.plan.process_groups import is_flattened
from thalweg.plan.state import ESTIMATE
from thalweg.rule.hyperparameters import plain
from thalweg.tensors.layout import is_shard
from thalweg.tensors.rounding import HALVES, keys
from thalweg.tensors.subclasses import ordinary

Tensor = torch.Tensor


class SecondOrder(Optimizer):
    """An optimizer that needs the gradients' graph: `estimate(loss)` in place of `loss.backward()`, then `step()`.

    `loss.backward(create_graph=True)` and `step()` do the same, and so does a closure that calls it. The graph is freed
    when the estimate is taken, gradients stay, without it. RuntimeError where a step needs an estimate and has neither.

    z depends on nothing but the setting `seed`, the parameter's place and its step: a resumed run draws what the whole
    one would have. The estimate is of the loss times `gradient_scale`, as the gradient is; clipping is of the
    gradient alone.

    Under DistributedDataParallel `estimate(loss)` averages gradients and estimates over its processes, all of which
    draw the same z; `loss.backward(create_graph=True)` is a RuntimeError there: the graph is of one process alone.
    """

    second_order: ClassVar[bool] = True
    example: ClassVar[str] = "optimizer.estimate((p * p).sum())"
    _estimates = 0  # taken since the last step

    def _check(self, settings: Mapping[str, Any]) -> None:
        super()._check(settings)
        if settings["differentiable"]:
            raise ValueError(
                f"differentiable=True: {type(self).__name__} frees the graph that its estimate is made from; "
                "allowed is False"
            )

    def estimate(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the parameters, as `loss.backward()` does, and estimate the curvature.

        Called more than once before a step, gradients and estimates add up: those of a sum of losses.
        """
        params = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
        self._check_kinds(params)
        with torch.enable_grad():
            found: Sequence[Tensor | None] = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
        groups = replicated(params)
        used = used_anywhere([g is not None for g in found], params, groups)
        params = [p for p, each in zip(params, used, strict=True) if each]
        gradients = [
            torch.zeros_like(p) if g is None else g
            for p, g in zip(params, [g for g, each in zip(found, used, strict=True) if each], strict=True)
        ]
        self._curvature(params, gradients, groups)
        for p, g in zip(params, averaged([g.detach() for g in gradients], params, groups), strict=True):
            p.grad = g if p.grad is None else p.grad.detach() + g

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._estimates == 0:
            self._from_gradients()
        super()._step()
        self._estimates = 0
        return loss

    def step_one(self, param: Tensor, stepper: Stepper | None = None) -> Stepper:
        """RuntimeError: the curvature is of all parameters' gradients together."""
        raise RuntimeError(f"{type(self).__name__} cannot step inside the backward pass: its estimate comes after it")

    def _from_gradients(self) -> None:
        """The estimate from gradients that hold their graph."""
        params = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        due = [p for p, (_, _, due) in zip(params, self._places(params), strict=True) if due]
        without = [p.grad for p in due if p.grad is not None]
        if due and not any(g.requires_grad for g in without) and not self._stands_still(without):
            raise RuntimeError(
                f"{type(self).__name__}: the gradients have no graph to take the curvature from; call "
                "optimizer.estimate(loss) in place of loss.backward(), or loss.backward(create_graph=True)"
            )
        if due:
            if replicated(params):
                raise RuntimeError(
                    f"{type(self).__name__}: under DistributedDataParallel the gradients' graph is of this process "
                    "alone; call optimizer.estimate(loss) in place of loss.backward(create_graph=True)"
                )
            self._check_kinds(params)
            self._curvature(params, [p.grad for p in params if p.grad is not None], {})
        for p in params:
            _free(p)

    def _stands_still(self, gradients: Sequence[Tensor]) -> bool:
        """True for a step that makes states and moves nothing, as `torch.distributed.checkpoint` takes one before it
        loads: at a rate of 0, with gradients of 0. Their curvature is 0."""
        rates = [plain(group["lr"]) for group in self.param_groups]
        return not any(rates) and not any(bool(g.count_nonzero()) for g in gradients)

    def _places(self, params: Sequence[Tensor]) -> list[tuple[int, Mapping[str, Any], bool]]:
        """The place of each parameter among all, its group, and whether an estimate is due."""
        everywhere = [(p, group) for group in self.param_groups for p in group["params"]]
        places = {id(p): (place, group) for place, (p, group) in enumerate(everywhere)}
        found: list[tuple[int, Mapping[str, Any], bool]] = []
        for p in params:
            place, group = places[id(p)]
            due = ESTIMATE not in self.state.get(p, {}) or self._age(p) % int(plain(group["update_each"])) == 0
            found.append((place, group, due))
        return found

    def _age(self, p: Tensor) -> int:
        return int(self.state.get(p, {}).get("step", 0))

    def _check_kinds(self, params: Sequence[Tensor]) -> None:
        for p in params:
            sharded, own = is_shard(p) or is_flattened(p), not ordinary(type(p))
            if p.is_complex() or sharded or own:
                what = "complex" if p.is_complex() else "sharded" if sharded else f"{type(p).__name__}"
                raise RuntimeError(f"{type(self).__name__}: the curvature of a {what} parameter is not supported")

    def _curvature(self, params: Sequence[Tensor], gradients: Sequence[Tensor], groups: Mapping[Tensor, Any]) -> None:
        """Put z * (H z), the mean over replicas, in the states of those for which it is due. Frees the graph."""
        places = self._places(params)
        signs = [
            _signs(
                p, keys(((int(plain(group["seed"])) * 1000003 + self._age(p)) * 1000003 + place) * 64 + self._estimates)
            ).to(g.dtype)
            for p, g, (place, group, _) in zip(params, gradients, places, strict=True)
        ]
        followed = [index for index, g in enumerate(gradients) if g.requires_grad]
        products: Sequence[Tensor | None] = [None] * len(params)
        if followed:  # else the loss is linear, and its curvature 0
            products = torch.autograd.grad(
                [gradients[index] for index in followed],
                params,
                [signs[index] for index in followed],
                allow_unused=True,
            )
        of_due = [
            (p, torch.zeros_like(p) if product is None else (product * z).detach(), group)
            for p, z, product, (_, group, due) in zip(params, signs, products, places, strict=True)
            if due
        ]
        own = [p for p, _, _ in of_due]
        for (p, _, group), h in zip(of_due, averaged([h for _, h, _ in of_due], own, groups), strict=True):
            self._keep(p, h * plain(group["gradient_scale"]), group)
        self._estimates += 1

    def _keep(self, p: Tensor, h: Tensor, group: Mapping[str, Any]) -> None:
        h = h.float() if p.dtype in HALVES else h
        if group["average_conv_kernel"] and h.dim() > 2:
            h = h.mean(dim=tuple(range(2, h.dim())), keepdim=True).expand_as(h)
        held = self.state[p].get(ESTIMATE)
        if held is None:
            self.state[p][ESTIMATE] = h.clone(memory_format=torch.preserve_format)
        elif self._estimates:
            held.add_(h)
        else:
            held.copy_(h)


def _signs(p: Tensor, seed: int) -> Tensor:
    """1 and -1 by chance; the same on every device."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return (2 * torch.randint(0, 2, p.shape, generator=generator, device="cpu") - 1).to(p.device, p.dtype)


def _free(p: Tensor) -> None:
    """Let go of the graph: it holds the parameter, which holds the gradient, which holds the graph."""
    g = p.grad
    if g is not None and g.requires_grad:
        if g._is_view():
            p.grad = g.detach()
        else:
            g.detach_()
