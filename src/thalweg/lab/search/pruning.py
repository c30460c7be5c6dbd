"""Successive halving: train all a little, the best third for longer. A rung is a whole, shorter training.

A configuration that advances trains from the start again, with its schedule stretched to the longer training: a rung is
then what it says, any trial can be replayed, a study resumes from trials alone. It costs at most 44 % of what advances.
"""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.lab.errors import LabError
from thalweg.lookup import must_be

KEEP = 3  # one in three goes on
PRUNERS = ("asha", "hyperband")


@dataclass(frozen=True)
class Rungs:
    """The epochs after which settings are given up; the last one is the whole training."""

    epochs: tuple[int, ...]
    rotating: bool = False  # Hyperband: each batch begins a rung later than the last one, against pruning too early

    @classmethod
    def of(cls, pruner: str | None, epochs: int) -> Rungs:
        """The rungs of a pruner; the whole training alone for none.

        Raises:
            LabError: for an unknown one, or a run too short to be cut.
        """
        if pruner is None:
            return cls((epochs,))
        if pruner not in PRUNERS:
            raise LabError(f"pruner: got {pruner!r}{must_be(pruner, PRUNERS, ' or ')}")
        if epochs < KEEP:
            raise LabError(f"pruner: {pruner} needs at least {KEEP} epochs, got {epochs}")
        rungs = sorted({max(1, round(epochs / KEEP**2)), round(epochs / KEEP), epochs})
        return cls(tuple(rungs), pruner == "hyperband")

    def ladder(self, round: int) -> tuple[int, ...]:
        """The rungs of this round of settings."""
        return self.epochs[round % len(self.epochs) :] if self.rotating else self.epochs

    def promoted(self, count: int) -> int:
        """How many of so many go on."""
        return max(1, count // KEEP)

    def runs(self, trials: int, batch: int) -> int:
        """How many runs so many settings have, short ones included; the default goes through all rungs."""
        total = 0
        for round, start in enumerate(range(0, trials, batch)):
            left = min(batch, trials - start)
            for index in range(len(self.ladder(round))):
                if index:
                    left = self.promoted(left - (start == 0)) + (start == 0) if left > (start == 0) else left
                total += left
        return total
