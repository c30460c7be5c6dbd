"""Operations on what an optimizer keeps: rewritten, replaced and deleted by hand, saved, loaded, copied, pickled."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Sequence
from typing import Any

import torch

from fuzz.gradients import give, turned
from fuzz.operations import Dice, Side, moves, operation
from fuzz.sides import NUMBERS, TORCH

Tensor = torch.Tensor


def held(side: Side, p: Tensor) -> list[str]:
    """The names of a parameter's states that have its shape."""
    names = sorted(name for name, value in side.state(p).items() if isinstance(value, Tensor))
    return [name for name in names if name not in (*NUMBERS, "master", "compensation")]


@operation(weight=3)
def replace_state(side: Side, dice: Dice) -> None:
    """By another tensor: of the same order in memory, or of another. Smaller, as in `rewrite_state`: the variance of
    centered RMSprop, s - a a, must not fall below 0, where torch's is NaN and ours 0."""
    p, turn = dice.one(side.params), dice.chance(0.5)
    for name in held(side, p):
        value = side.state(p)[name] * 0.8
        if turn and not value.is_sparse:
            value = turned(value)
        side.state(p)[name] = value


@operation()
def rewrite_state(side: Side, dice: Dice) -> None:
    p = dice.one(side.params)
    for name in held(side, p):
        side.state(p)[name].mul_(0.75)


@operation(weight=3)
def move_state(side: Side, dice: Dice) -> None:
    """The same tensor with other memory under it."""
    p, way = dice.one(side.params), dice.one(("data", "shared", "resized"))
    for value in [value for value in side.state(p).values() if isinstance(value, Tensor)]:
        if value.is_sparse or not value.numel() or value.untyped_storage().is_shared():
            continue
        if way == "data":
            value.data = value.data.clone()
        elif way == "shared":
            value.share_memory_()
        elif value.untyped_storage().resizable():
            kept, storage = value.clone(), value.untyped_storage()
            size = storage.nbytes()
            if size == value.numel() * value.element_size():  # and not that of step counts, which lie together
                storage.resize_(0)
                side.junk = [torch.zeros(size // 8 + 1, dtype=torch.float64)]
                storage.resize_(size)
                value.copy_(kept)


@operation()
def delete_state(side: Side, dice: Dice) -> None:
    """Of one parameter, or of all."""
    p = dice.one(side.params)
    if dice.chance(0.7):
        side.optimizer.state.pop(p, None)
    else:
        side.optimizer.state.clear()


@operation(weight=1)
def delete_an_entry(side: Side, dice: Dice) -> None:
    """Of those that a switch adds (momentum, amsgrad), which begin anew; a state without another is refused."""
    p, place = dice.one(side.params), dice.random.random()
    always = side.case.ours.rules[0].torch_names.values()
    names = [name for name in held(side, p) if name not in always]
    name = names[int(place * len(names))] if names else ""
    if name:
        del side.state(p)[name]


@operation(weight=4)
def rewrite_step(side: Side, dice: Dice) -> None:
    """In place, or by another tensor, between two like steps: the plan of one must not serve the other as it is."""
    give(side, dice)
    side.step()
    # ASGD's first step takes the rate, the others what the step before worked out; ours knows the first by its count
    counts = (1, 3, 20, 1000) if side.case.name == "ASGD" else (0, 1, 3, 20, 1000)
    count, in_place = float(dice.one(counts)), dice.chance(0.5)
    for p in [dice.one(side.params)] if dice.chance(0.7) else side.params:
        state = side.state(p)
        if isinstance(state.get("step"), Tensor) and in_place:
            state["step"].fill_(count)
        elif "step" in state:
            state["step"] = torch.tensor(count)
    give(side, dice)
    side.step()


# -- saving and loading -----------------------------------------------------------------------------------------


def forget_strangers(side: Side) -> None:
    """torch's `state_dict()` stops at the state of a parameter that is in no group any more."""
    known = set(map(id, side.params))
    for p in [p for p in side.optimizer.state if id(p) not in known]:
        del side.optimizer.state[p]


def saved(side: Side, through_a_file: bool) -> dict[str, Any]:
    """A checkpoint that shares nothing with the optimizer."""
    forget_strangers(side)
    if not through_a_file:
        return copy.deepcopy(side.optimizer.state_dict())
    file = io.BytesIO()
    torch.save(side.optimizer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def blank(side: Side, params: Sequence[Sequence[Tensor]], names: Sequence[Sequence[str]] = (), **settings: Any) -> Any:
    """A new optimizer over groups of parameters."""
    named = names or [group.get("param_names", ()) for group in side.groups]
    return side.build(
        [{"params": side.named_params(own, called)} for own, called in zip(params, named, strict=True)], **settings
    )


@operation()
def reload(side: Side, dice: Dice) -> None:
    side.optimizer.load_state_dict(saved(side, dice.chance(0.5)))


@operation()
def resume(side: Side, dice: Dice) -> None:
    """Into a fresh optimizer with other settings."""
    taken = saved(side, dice.chance(0.5))
    side.optimizer = blank(side, [group["params"] for group in side.groups], lr=0.5)
    side.optimizer.load_state_dict(taken)


@operation()
def fork(side: Side, dice: Dice) -> None:
    """A second optimizer goes on from the state of the first, over copies of its parameters; the first steps on, and
    the second must not see it. torch's loader shares the tensors: its side gets copies."""
    forget_strangers(side)
    first, state_dict = side.optimizer, side.optimizer.state_dict()
    old = side.params
    copies = [[torch.nn.Parameter(p.detach().clone()) for p in group["params"]] for group in side.groups]
    side.optimizer = blank(side, copies)
    side.optimizer.load_state_dict(copy.deepcopy(state_dict) if side.way == TORCH else state_dict)
    second, side.optimizer = side.optimizer, first
    for p in old:
        p.grad = torch.ones_like(p) if not side.case.sparse else torch.ones_like(p).to_sparse(1) if p.dim() else None
    side.step()
    side.optimizer = second


@operation(weight=2)
def resume_by_name(side: Side, dice: Dice) -> None:
    """Into an optimizer over the same parameters in another order: names say which is which. torch goes by place."""
    if not side.named:
        return
    taken = saved(side, False)
    params, names = [], []
    for group in side.groups:
        order = list(range(len(group["params"])))
        dice.random.shuffle(order)
        params.append([group["params"][index] for index in order])
        names.append([group["param_names"][index] for index in order])
    if side.way == TORCH:
        side.optimizer = blank(side, [group["params"] for group in side.groups], lr=0.5)
        side.optimizer.load_state_dict(taken)
        for group, own, called in zip(side.groups, params, names, strict=True):
            group["params"], group["param_names"] = own, called
    else:
        side.optimizer = blank(side, params, names, lr=0.5)
        side.optimizer.load_state_dict(taken)


@operation(together=True)
def exchange(sides: Sequence[Side], dice: Dice) -> None:
    """All go on from the checkpoint of one of them."""
    giver = dice.one(sides)
    taken = saved(giver, dice.chance(0.5))
    for side in sides:
        forget_strangers(side)
        side.optimizer = blank(side, [group["params"] for group in side.groups])
        side.optimizer.load_state_dict(copy.deepcopy(taken))
        for p, q in zip(side.params, giver.params, strict=True):
            p.data.copy_(q.data)


@operation()
def deepcopy(side: Side, dice: Dice) -> None:
    side.optimizer = copy.deepcopy(side.optimizer)


@operation(weight=1)
def pickled(side: Side, dice: Dice) -> None:
    side.optimizer = pickle.loads(pickle.dumps(side.optimizer))


@operation(weight=1, allowed=moves)
def half_saved_half_trained(side: Side, dice: Dice) -> None:
    """A checkpoint is taken, training goes on, and the checkpoint is loaded after all: it has not moved."""
    forget_strangers(side)
    taken = side.optimizer.state_dict() if dice.chance(0.5) else saved(side, False)
    taken = copy.deepcopy(taken)
    for p in side.params:
        p.grad = dice.gradient(p)
    side.step()
    side.optimizer.load_state_dict(taken)
