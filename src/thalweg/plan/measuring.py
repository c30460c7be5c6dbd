"""What a rule measures on whole tensors, and the directions that it makes of gradients, before the fused step."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from thalweg.plan.process_groups import GlobalSums
from thalweg.tensors.layout import in_full, is_shard, local, placed_like, real

if TYPE_CHECKING:
    from thalweg.plan.plan import Plan

Tensor = torch.Tensor


def measure_each(plan: Plan) -> list[dict[str, Any]]:
    """The rule's numbers of each tensor; its direction, where it gives one, takes the gradient's place."""
    rule, measured = plan.update.rule, []
    assert rule.per_tensor is not None
    for index, member in enumerate(plan.members):
        with torch.set_grad_enabled(plan.differentiable), GlobalSums() if is_shard(member.param) else nullcontext():
            p, g, state = whole_tensors(plan, index)
            own = plan.numbers(index)[-1]
            given = rule.per_tensor(p, g, state, **{name: own[name] for name in rule.tensor_numbers})
            plan.keep_matrices(index, state)
            if rule.directs:
                plan.redirect(index, g, given["g"])
        measured.append({name: given[name] for name in rule.measures})
    return measured


def measure_stacks(plan: Plan) -> list[dict[str, Any]]:
    """The directions of a rule that takes all tensors of one shape, with the same numbers, at once. Of shards the whole
    tensors are gathered, each process works out all of it, and keeps its part."""
    rule = plan.update.rule
    stacks: dict[Any, list[int]] = {}
    assert rule.per_tensor is not None
    for index, (p, number, age) in enumerate(zip(plan.params, plan.group_numbers, plan.ages_now(), strict=True)):
        stacks.setdefault((p.shape, number, *age), []).append(index)
    with torch.no_grad():
        for stack in stacks.values():
            own = plan.numbers(stack[0])[-1]
            given = [whole_tensors(plan, index) for index in stack]
            ps, gs, states = zip(*map(_gathered, given), strict=True)
            made = rule.per_tensor(ps, gs, states, **{name: own[name] for name in rule.tensor_numbers})
            for index, (p, g, state), gathered, direction in zip(stack, given, states, made["g"], strict=True):
                if is_shard(p):
                    direction = local(placed_like(direction, p))
                    for letter, held in state.items():
                        if is_shard(held):
                            local(held).copy_(local(placed_like(gathered[letter], held)))
                plan.keep_matrices(index, state)
                plan.redirect(index, local(g), direction)
    return [{}] * len(plan.members)


def _gathered(given: tuple[Tensor, Tensor, dict[str, Tensor]]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    p, g, state = given
    return in_full(p), in_full(g), {letter: in_full(held) for letter, held in state.items()}


def whole_tensors(plan: Plan, index: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Parameter, gradient and states as `per_tensor` takes them."""
    member = plan.members[index]
    param = member.param if plan.differentiable else member.param.detach()
    param = param if is_shard(param) else plan.now(index)
    p, g = plan.storage.load(real(param), member.state.get(plan.storage.kept)), plan.gradients[index]
    if is_shard(member.param):
        g = member.like(g)
    p, g = plan.update.staged(p, real(g).to(p.dtype), plan.numbers(index))
    state = {letter: real(held) for letter, held in plan.by_letter(index).items()}
    if plan.differentiable:  # what autograd saves must outlive the engine's writing
        p, state = p.clone(), {letter: held.clone() for letter, held in state.items()}
    return p, g, state
