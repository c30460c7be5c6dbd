"""Small state of rules whose moments are of `per_tensor` alone (Muon's momentum).

They are read from codes before it, and put back into codes after it. Kernels see nothing of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from thalweg.plan.counters import Ages
from thalweg.plan.members import Member
from thalweg.plan.plan import Plan
from thalweg.plan.quantized import decoded, flat, in_memory
from thalweg.tensors.layout import is_shard, local
from thalweg.tensors.quantization import SCALE, Form, random_of
from thalweg.tensors.rounding import Noise, Rounding, keys
from thalweg.update.update import Update

Tensor = torch.Tensor


class QuantizedMatricesPlan(Plan):
    """Parameters that are large enough for such moments to be kept small."""

    def __init__(self, update: Update, storage: Rounding, members: Sequence[Member], ages: Ages, form: Form) -> None:
        self._codes = dict(form)
        super().__init__(update, storage, members, ages)

    def advance(self, scale: Any = 1.0) -> None:
        """One step on; its random bits are made whatever the parameters are rounded by."""
        super().advance(scale)
        self._keys = [keys(step) for step in self._next[0].tolist()]

    def noise(self, index: int) -> Noise:
        """Where a tensor's random bits come from in this step."""
        return Noise(self._keys[index], self.members[index].offset)

    def by_letter(self, index: int) -> dict[str, Tensor]:
        """As the rule takes them: of a sharded parameter as the DTensors that they are parts of."""
        found, member = super().by_letter(index), self.members[index]
        for letter, code in self._codes.items():
            value = decoded(local(found[letter]), self._scales(index, letter), code)
            found[letter] = member.like(value) if is_shard(member.param) else value
        return found

    def keep_matrices(self, index: int, matrices: Mapping[str, Tensor]) -> None:
        """Put what the rule has made of them into codes."""
        for place, (letter, code) in enumerate(self._codes.items()):
            held = local(super().by_letter(index)[letter])
            x = in_memory(local(matrices[letter]), held)
            made, scales = code.encode(x, random_of(self.noise(index), x.numel(), place).to(x.device))
            flat(held).copy_(made)
            if scales is not None:
                own = self._scales(index, letter)
                assert own is not None
                own[: len(scales)].copy_(scales)

    def _scales(self, index: int, letter: str) -> Tensor | None:
        if not self._codes[letter].window:
            return None
        return local(self.members[index].state[self.update.rule.torch_names[letter] + SCALE]).view(-1)
