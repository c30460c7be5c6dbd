"""Small state in a plan: moments that are codes, with their scales, and the way from one form to another."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch

from thalweg.plan.counters import Ages
from thalweg.plan.members import Member
from thalweg.plan.plan import Plan
from thalweg.tensors.layout import is_flat, is_shard, laid_like, local, placed_alike, real
from thalweg.tensors.quantization import BLOCK, SCALE, Code, Form, blocks, code_of, random_of
from thalweg.tensors.rounding import Rounding
from thalweg.update.update import Update

Tensor = torch.Tensor
LAYOUT = "_layout"  # a state's name and this are the name of what says which elements make a block
PIECE = 4096 * BLOCK  # elements that are made small, or whole, at a time: on the way there are int32 copies of them


class QuantizedPlan(Plan):
    """Parameters that are large enough for their moments to be kept small. `form` says which, and how."""

    def __init__(self, update: Update, storage: Rounding, members: Sequence[Member], ages: Ages, form: Form) -> None:
        self.form = form
        names, codes = update.rule.torch_names, dict(form)
        self.codes = [codes.get(letter) for letter in update.rule.states]
        eight = [names[letter] + SCALE for letter, code in form if code.window]
        self._scaled = [letter for letter, code in form if code.window]
        self._eight = eight
        super().__init__(update, storage, members, ages)

    @cached_property
    def scales(self) -> list[list[Tensor]]:
        """The scales of each parameter's codes."""
        return [[local(m.state[name]).view(-1) for name in self._eight] for m in self.members]

    def _addresses(self, index: int) -> list[int]:
        p, kept = self.params[index], self.rounding_state[index]
        tensors = (p, p, *self.states[index], *self.scales[index])
        return [*(each.data_ptr() for each in tensors), 0 if kept is None else kept.data_ptr(), 0, self._offset(index)]

    def _offset(self, index: int) -> int:
        return self.members[index].offset

    @property
    def stochastic(self) -> bool:
        return True

    def _read_states(self, index: int) -> list[Tensor]:
        scales = dict(zip(self._scaled, self.scales[index], strict=True))
        return [
            real(held) if code is None else decoded(held, scales.get(letter), code)
            for letter, held, code in zip(self.update.rule.states, self.states[index], self.codes, strict=True)
        ]

    def _write_states(self, index: int, states: Sequence[Tensor]) -> None:
        rule = self.update.rule
        scales = dict(zip(self._scaled, self.scales[index], strict=True))
        held, new = (dict(zip(rule.states, each, strict=True)) for each in (self.states[index], states))
        for place, (letter, code) in enumerate(self.form):
            x = in_memory(new.pop(letter), held[letter])
            made, scale = code.encode(x, random_of(self.noise(index), x.numel(), place).to(x.device))
            flat(held[letter]).copy_(made)
            if scale is not None:
                scales[letter][: len(scale)].copy_(scale)
        for letter, value in new.items():
            real(held[letter]).copy_(value)

    def by_letter(self, index: int) -> dict[str, Tensor]:
        """As the rule takes them: of a sharded parameter as the DTensors that they are parts of."""
        found, member = super().by_letter(index), self.members[index]
        for letter, value in zip(self.update.rule.states, self._read_states(index), strict=True):
            if letter in dict(self.form):
                found[letter] = member.like(value) if is_shard(member.param) else value
        return found


def flat(held: Tensor) -> Tensor:
    """A dense tensor's elements in their order in memory."""
    return held.as_strided((held.numel(),), (1,))


def in_memory(x: Tensor, like: Tensor) -> Tensor:
    """A tensor's elements in the order that those of a dense one lie in memory."""
    if x.stride() == like.stride() and is_flat(x):
        return flat(x)
    return flat(torch.empty_strided(like.shape, like.stride(), dtype=x.dtype, device=x.device).copy_(x))


def decoded(held: Tensor, scales: Tensor | None, code: Code) -> Tensor:
    """A moment as float32, lying as its codes do."""
    full = torch.empty_like(held, dtype=torch.float32)
    for place, (codes, made) in enumerate(zip(*(torch.split(flat(x), PIECE) for x in (held, full)), strict=True)):
        first = place * blocks(PIECE)
        made.copy_(code.decode(codes, None if scales is None else scales[first : first + blocks(PIECE)]))
    return full


def widened(state: Mapping[str, Any], name: str, kind: str) -> Tensor:
    """A state in full, whatever it is kept as; `kind`: of the moment. RuntimeError where scales are missing."""
    held: Tensor = state[name]
    if held.dtype not in (torch.uint8, torch.bfloat16):
        return held
    part = local(held)
    if part.dtype == torch.bfloat16:
        return held.float()
    scales = scales_of(state, name)
    part = part if is_flat(part) else part.contiguous()
    return as_part_of(held, decoded(part, local(scales).flatten(), code_of(kind, "int8")))


def scales_of(state: Mapping[str, Any], name: str) -> Tensor:
    """The scales of a state in 8 bits; RuntimeError where they are not those of its blocks."""
    scales, due = state.get(name + SCALE), _shape_of_scales(state[name])
    if isinstance(scales, Tensor) and scales.dtype == torch.uint8 and scales.shape == due:
        if laid_as_written(state, name):
            return scales
        raise RuntimeError(
            f"state {name!r} is kept in 8 bits, and its scales are of blocks of other elements than those of "
            f"{described(state[name])}: it was written under another sharding or memory order; save "
            "optimizer.full_state_dict() there, which goes anywhere"
        )
    has = f"they are {scales.dtype} of {tuple(scales.shape)}" if isinstance(scales, Tensor) else "there are none"
    raise RuntimeError(
        f"state {name!r} is kept in 8 bits, with scales of {tuple(due)} in {name + SCALE!r}, and {has}: the checkpoint "
        "was cut, or written under another sharding; save optimizer.full_state_dict() there, which goes anywhere"
    )


def check_scales(state: Mapping[str, Any], name: str) -> None:
    """RuntimeError where a state that is kept in 8 bits has not the scales of its blocks."""
    if isinstance(state[name], Tensor) and state[name].dtype == torch.uint8:
        scales_of(state, name)


def laid_as_written(state: Mapping[str, Any], name: str) -> bool:
    """True where a state's blocks are the elements that they were when they were written. Where nothing says, a whole
    tensor is believed, and a sharded one is not."""
    written = state.get(name + LAYOUT)
    if written is None:
        return not is_shard(state[name])
    return int(written) == layout_of(state[name])


def layout_of(held: Tensor) -> int:
    """Which elements make a block: a number of what `described` tells. It is kept as a tensor without dimensions, which
    every format of checkpoints takes, beside each state and the same on all processes."""
    return int.from_bytes(hashlib.blake2b(described(held).encode(), digest_size=7).digest(), "big")


def described(held: Tensor) -> str:
    """A tensor's shape, the order of its dimensions in memory, and how it is sharded, in words."""
    sizes = enumerate(zip(held.stride(), held.shape, strict=True))
    order = [axis for _, axis in sorted((-stride, axis) for axis, (stride, size) in sizes if size > 1)]
    whole: Any = held
    parts = []
    for axis, placement in enumerate(whole.placements if is_shard(held) else ()):
        if placement.is_shard() and whole.device_mesh.size(axis) > 1:
            inner = getattr(placement, "split_factor", 1)
            within = f" within {inner}" if inner > 1 else ""
            parts.append(f"dimension {placement.dim} over {whole.device_mesh.size(axis)}{within}")
    return f"shape {tuple(held.shape)}, memory order {tuple(order)}, sharded by {', '.join(parts) or 'nothing'}"


def keep(state: dict[str, Any], name: str, full: Tensor, p: Tensor, code: Code) -> None:
    """Put a state in, small, rounded to the nearest. `full`: shaped as the parameter."""
    part = laid_like(local(full), local(p), torch.float32)
    pieces = [code.encode(piece, None) for piece in torch.split(flat(part), PIECE)]
    made = torch.cat([codes for codes, _ in pieces])
    scales = torch.cat([each for _, each in pieces if each is not None]) if code.window else None
    _put(state, name, made.as_strided(part.shape, part.stride()), scales, p)


def begin(state: dict[str, Any], name: str, first: float, p: Tensor, code: Code) -> None:
    """Put a state in, small, that is the same number everywhere. It is never there in full."""
    part = local(p)
    made, scales = code.encode(torch.full((1,), first, device=part.device), None)
    held = torch.empty_like(part, dtype=code.dtype).detach().fill_(made[0])
    _put(state, name, held, None if scales is None else scales.repeat(blocks(part.numel())), p)


def _put(state: dict[str, Any], name: str, held: Tensor, scales: Tensor | None, p: Tensor) -> None:
    state[name] = as_part_of(p, held)
    drop_scales(state, name)
    if scales is not None:
        state[name + SCALE] = _scales_of(p, scales)
        state[name + LAYOUT] = torch.tensor(layout_of(state[name]), device="cpu")


def drop_scales(state: dict[str, Any], name: str) -> None:
    """Forget what blocks a state had: it is kept in another way."""
    state.pop(name + SCALE, None)
    state.pop(name + LAYOUT, None)


def fits(state: dict[str, Any], name: str, p: Tensor, code: Code) -> bool:
    """True where a state is kept as it must be, and lies as its parameter does."""
    held, scales = local(state[name]), state.get(name + SCALE)
    lies = is_flat(held) and (held.stride() == local(p).stride() or not is_flat(local(p)))
    alike = held.shape == local(p).shape and placed_alike(state[name], p)
    if held.dtype != code.dtype or held.device != p.device or not lies or not alike:
        return False
    if not code.window:
        return True
    due = isinstance(scales, Tensor) and scales.dtype == torch.uint8 and scales.shape == _shape_of_scales(p)
    return due and laid_as_written(state, name)


def as_part_of(whole: Tensor, part: Tensor) -> Tensor:
    """This process's part as the DTensor that another one is; of any other tensor itself."""
    if not is_shard(whole):
        return part
    from torch.distributed.tensor import DTensor

    owner: Any = whole
    return DTensor.from_local(
        part, owner.device_mesh, owner.placements, shape=owner.shape, stride=owner.stride(), run_check=False
    )


def _shape_of_scales(p: Tensor) -> torch.Size:
    """One for each block; of a sharded parameter a row for each shard, as long as the largest shard needs."""
    if not is_shard(p):
        return torch.Size([blocks(p.numel())])
    whole: Any = p
    shape, count = list(p.shape), 1
    for axis, placement in enumerate(whole.placements):
        if placement.is_shard():
            size = whole.device_mesh.size(axis)
            shape[placement.dim] = -(-shape[placement.dim] // size)
            count *= size
    return torch.Size([count, blocks(math.prod(shape))])


def _scales_of(p: Tensor, scales: Tensor) -> Tensor:
    """The scales of this process's blocks; of a sharded parameter as a DTensor, so that a gathered checkpoint has those
    of all, and is not taken for an unsharded one's."""
    if not is_shard(p):
        return scales
    from torch.distributed.tensor import DTensor, Shard

    owner: Any = p
    due = _shape_of_scales(p)
    own = scales.new_zeros(1, due[1])
    own[0, : len(scales)] = scales
    placements = [Shard(0) if each.is_shard() else each for each in owner.placements]
    return DTensor.from_local(own, owner.device_mesh, placements, shape=due, stride=(due[1], 1), run_check=False)
