"""Operations on settings, groups and parameters: what a script changes under the optimizer between two steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fuzz.cases import SWITCHED
from fuzz.dice import SHAPES, SPARSE_SHAPES
from fuzz.gradients import turned
from fuzz.operations import Dice, Setting, Side, dense, moves, operation

Tensor = torch.Tensor


# -- settings ---------------------------------------------------------------------------------------------------


@operation(weight=6)
def change_setting(side: Side, dice: Dice) -> None:
    """Any number of a group; one that becomes 0, or is 0 no longer, changes the rule."""
    choices = {name: values for name, values in side.case.changes(side.beside_torch).items() if values != SWITCHED}
    name, group = dice.one(sorted(choices)), dice.one(side.groups)
    value = dice.one(choices[name])
    if name != "dampening" or not group.get("nesterov"):  # which the constructor refuses
        group[name] = value
        side.notes.append((name, value))


@operation(weight=6)
def turn_switch(side: Side, dice: Dice) -> None:
    """Any switch of a group, on or off."""
    switches = [name for name, values in side.case.changes(side.beside_torch).items() if values == SWITCHED]
    if switches:
        name, group = dice.one(sorted(switches)), dice.one(side.groups)
        if name != "nesterov" or not group["dampening"]:
            group[name] = not group[name]
            side.notes.append((name, group[name]))
            if name == "centered":  # a mean from long ago gives a variance below 0: NaN in torch, 0 in ours
                for p in group["params"]:
                    side.state(p).pop("grad_avg", None)


@operation()
def tensor_rate(side: Side, dice: Dice) -> None:
    """The learning rate as a tensor, or the value of one that is there."""
    group, rate = dice.one(side.groups), dice.one((0.004, 0.02))
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = torch.tensor(rate, dtype=torch.float64)


@operation(allowed=lambda setting: setting.case.wide and not setting.case.sparse)
def change_limits(side: Side, dice: Dice) -> None:
    """Clipping, and what a gradient that is not finite does."""
    for hook in side.hooks:  # a step that torch's side leaves out by hand runs no hooks
        hook.remove()
    norms = (None, 0.5, 3.0)
    side.limit.update(clip_norm=dice.one(norms), on_nonfinite=dice.one(("propagate", "skip_step", "raise")))
    if side.way != "torch":
        side.optimizer.guard.clip_norm = side.limit["clip_norm"]
        side.optimizer.guard.on_nonfinite = side.limit["on_nonfinite"]


@operation(weight=5, together=True, allowed=lambda setting: setting.case.threads)
def set_threads(sides: Sequence[Side], dice: Dice) -> None:
    torch.set_num_threads(dice.one((1, 2)))


# -- groups -----------------------------------------------------------------------------------------------------


def new_param(side: Side, dice: Dice) -> Tensor:
    shapes = SPARSE_SHAPES if side.case.sparse else SHAPES
    known = side.params[0].dtype if side.params else torch.float32
    return torch.nn.Parameter(dice.normal(dice.one(shapes), known))


@operation()
def add_group(side: Side, dice: Dice) -> None:
    params = side.named_params([new_param(side, dice) for _ in range(dice.random.randint(1, 2))])
    side.optimizer.add_param_group({"params": params, "lr": 0.01})


@operation(weight=1)
def remove_group(side: Side, dice: Dice) -> None:
    if len(side.groups) > 1:
        gone = side.groups.pop(dice.random.randrange(len(side.groups)))
        if dice.chance(0.5):
            for p in gone["params"]:
                side.optimizer.state.pop(p, None)


@operation()
def replace_param(side: Side, dice: Dice) -> None:
    """By another, as when a layer is grown; its state is left behind, or deleted."""
    group = dice.one(side.groups)
    place = dice.random.randrange(len(group["params"]))
    forget = dice.chance(0.5)
    old, group["params"][place] = group["params"][place], new_param(side, dice)
    if forget:
        side.optimizer.state.pop(old, None)


@operation()
def move_between_groups(side: Side, dice: Dice) -> None:
    """A parameter joins another group, or another place in its own."""
    source, target = dice.one(side.groups), dice.one(side.groups)
    place, where = dice.random.random(), dice.random.random()
    if len(source["params"]) > 1 or source is target:
        index = int(place * len(source["params"]))
        p = source["params"].pop(index)
        there = int(where * (len(target["params"]) + 1))
        target["params"].insert(there, p)
        if "param_names" in source:
            target["param_names"].insert(there, source["param_names"].pop(index))


@operation()
def other_optimizer(side: Side, dice: Dice) -> None:
    """The program goes on with another optimizer, over other parameters; both are compared."""
    if len(side.optimizers) == 1:
        params = [new_param(side, dice) for _ in range(2)]
        side.open([{"params": side.named_params(params)}])
    else:
        side.focus = 1 - side.focus


# -- parameters -------------------------------------------------------------------------------------------------


@operation()
def freeze(side: Side, dice: Dice) -> None:
    p = dice.one(side.params)
    p.requires_grad_(False)
    if dice.chance(0.5):
        p.grad = None


@operation()
def thaw(side: Side, dice: Dice) -> None:
    for p in side.params:
        p.requires_grad_(True)


@operation(weight=3)
def move_storage(side: Side, dice: Dice) -> None:
    """New memory of the same order: its own, or a part of a larger tensor at any address."""
    p = dice.one(side.params)
    # torch adds a coalesced sparse vector to one that begins inside its storage at the wrong place
    flawed = bool(side.case.sparse) and p.dim() == 1
    if dice.chance(0.5) or not p.is_contiguous() or flawed:
        p.data = p.data.clone()
    else:
        room = torch.zeros(p.numel() + 7, dtype=p.dtype)
        start = dice.random.randint(1, 7)
        p.data = room[start : start + p.numel()].view(p.shape).copy_(p.data)


@operation(weight=3, allowed=moves)
def turn_storage(side: Side, dice: Dice) -> None:
    """The same numbers in another order of dimensions, or with gaps."""
    p, kind = dice.one(side.params), dice.one(("transposed", "gaps", "channels last", "plain"))
    if kind == "transposed":
        p.data = turned(p.data)
    elif kind == "gaps":
        room = torch.full([2 * size for size in p.shape], 7.0, dtype=p.dtype)
        p.data = room[tuple(slice(None, None, 2) for _ in p.shape)].copy_(p.data)
    elif kind == "channels last":
        for each in side.params:
            if each.dim() == 4:
                each.data = each.data.contiguous(memory_format=torch.channels_last)
    else:
        p.data = p.data.contiguous()


@operation()
def swap_tensors(side: Side, dice: Dice) -> None:
    """As `module.to` does it under `torch.__future__.set_swap_module_params_on_conversion`."""
    p = dice.one(side.params)
    torch.utils.swap_tensors(p, torch.nn.Parameter(p.detach().clone(), requires_grad=p.requires_grad))


@operation()
def set_storage(side: Side, dice: Dice) -> None:
    p = dice.one(side.params)
    with torch.no_grad():
        p.set_(p.detach().clone())


@operation(weight=1)
def share_memory(side: Side, dice: Dice) -> None:
    p = dice.one(side.params)
    if p.numel():
        p.share_memory_()


@operation()
def free_and_refill_storage(side: Side, dice: Dice) -> None:
    """As sharding wrappers do between two forward passes: the storage shrinks to nothing and is made anew."""
    p = dice.one(side.params)
    storage = p.untyped_storage()
    if p.numel() and storage.resizable() and not storage.is_shared():  # torch crashes on shared memory
        kept, size = p.detach().clone(), storage.nbytes()
        storage.resize_(0)
        side.junk = [torch.zeros(size // 8 + 1, dtype=torch.float64)]
        storage.resize_(size)
        p.data.copy_(kept)


@operation(weight=1)
def write_param(side: Side, dice: Dice) -> None:
    """As a script that renormalises a weight."""
    p = dice.one(side.params)
    with torch.no_grad():
        p.mul_(0.5).add_(0.25)


def doubles(setting: Setting) -> bool:
    return dense(setting) and not setting.half and not setting.case.sparse


@operation(weight=1, allowed=doubles)
def to_double_and_back(side: Side, dice: Dice) -> None:
    """`model.double()`, some steps, and back; or only there."""
    singles = [p for p in side.params if p.dtype in (torch.float32, torch.complex64)]
    before = [p.dtype for p in singles]
    for p in singles:
        p.grad, p.data = None, p.data.to(torch.complex128 if p.is_complex() else torch.float64)
    stay = dice.chance(0.5)
    for _ in range(2):
        for p in side.params:
            p.grad = dice.gradient(p)
        side.step()
    if not stay:
        for p, dtype in zip(singles, before, strict=True):
            p.grad, p.data = None, p.data.to(dtype)


@operation(weight=3, allowed=lambda setting: setting.half)
def to_float_and_back(side: Side, dice: Dice) -> None:
    """Half precision to float32 and back to the other half."""
    for p in side.params:
        p.grad, p.data = None, p.data.float()
        p.grad = dice.gradient(p)
    side.step()
    other = dice.one((torch.bfloat16, torch.float16))
    for p in side.params:
        p.grad, p.data = None, p.data.to(other)
