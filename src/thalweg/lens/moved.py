"""Whether a parameter has moved since lens came, whoever moved it: some of its elements are kept."""

from __future__ import annotations

from torch import Tensor, nn

from thalweg.lens.record import Record
from thalweg.lens.sample import here

ELEMENTS = 64  # of a tensor, evenly spread


class Moved:
    """Keeps a few elements of every parameter as they are now.

    Args:
        model: whose parameters are followed.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.old = {name: _some(p).clone() for name, p in model.named_parameters()}

    def never(self, record: Record) -> dict[str, str]:
        """The parameters that have not moved, nor by anything but decay, and why."""
        with_gradient = {name for row in record.tensors.values() for name in row}
        driven = {name for row in record.tensors.values() for name, each in row.items() if each.gradient != 0}
        decayed = {name for each in record.settings if each.get("weight_decay") for name in each["names"]}
        moved, found = self.names(), {}
        trained = {name.rpartition(".")[0] for name, p in self.model.named_parameters() if p.requires_grad}
        working = {name.rpartition(".")[0] for name in driven}
        for name, p in self.model.named_parameters():
            own = name.rpartition(".")[0]
            if name in moved and not (name in decayed and name in with_gradient):
                continue
            if name not in record.inside:
                if p.requires_grad:
                    found[name] = "no_group"
            elif not p.requires_grad:
                if own in trained:  # a module is frozen as a whole on purpose
                    found[name] = "frozen"
            elif name not in with_gradient:
                found[name] = "no_gradient"
            elif name not in driven and not (p.dim() <= 1 and own in working):  # a bias cancels where outputs are
                found[name] = "zero_gradient"  # subtracted, as a critic's
        return found

    def names(self) -> set[str]:
        """Those of which an element is another by now; what is not finite has moved."""
        now = {name: _some(p) for name, p in self.model.named_parameters()}
        return {name for name, old in self.old.items() if name not in now or not _same(now[name], old)}


def _some(param: Tensor) -> Tensor:
    flat = here(param).reshape(-1)
    return flat[:: -(-len(flat) // ELEMENTS) or 1]


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.device == other.device and bool((one == other).all())
