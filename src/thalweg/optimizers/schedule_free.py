"""The face of the Schedule-Free rules: parameters hold y while training, and the average x while evaluating."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from thalweg.optimizers.optimizer import Optimizer
from thalweg.optimizers.stepper import Stepper
from thalweg.rule.hyperparameters import plain
from thalweg.tensors.layout import local, real
from thalweg.tensors.rounding import Rounding, rounding_of
from thalweg.tensors.subclasses import plain as plain_memory

if TYPE_CHECKING:
    from typing_extensions import Self

Tensor = torch.Tensor


class ScheduleFree(Optimizer):
    """An optimizer of two modes: `train()`, in which it starts and steps, and `eval()`, in which a model is tried.

    Gradients are taken at y, between the iterate z and the average x; the average is the result. `eval()` puts x in
    the parameters' place, `train()` puts y back, bit for bit; either may be called twice. In between y is kept in the
    state, so that a checkpoint saved in either mode goes on exactly. It says which mode it is of, and loading brings
    that mode back: load the model that was saved beside it, too. What was written to a parameter in eval mode is
    believed: it is the new x, and y follows.

    A model with batch normalisation needs its running statistics taken anew at x before it is tried.

    >>> import torch, thalweg.optim as optim
    >>> p = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = optim.ScheduleFreeSGD([p], lr=0.5, momentum=0.5)
    >>> for _ in range(2):
    ...     p.grad = torch.ones(2)
    ...     optimizer.step()
    >>> p.tolist(), optimizer.eval().training, p.tolist(), optimizer.train().training, p.tolist()
    ([0.125, 0.125], False, [0.25, 0.25], True, [0.125, 0.125])
    """

    _beside: ClassVar[tuple[str, ...]] = (*Optimizer._beside, "y")

    @property
    def training(self) -> bool:
        """True where the parameters hold y and `step()` may be called."""
        return all(group.get("train_mode", True) for group in self.param_groups)

    def train(self, mode: bool = True) -> Self:
        """Put y in the parameters' place, or x with `mode=False`; the optimizer itself."""
        if mode != self.training:
            with torch.no_grad():
                for param, state, group in self._averaged():
                    (_restore if mode else _put_average)(param, state, group)
            for group in self.param_groups:
                group["train_mode"] = mode
                if mode:
                    group.pop(AVERAGED_BY, None)
                else:
                    group[AVERAGED_BY] = _beta(group)
        return self

    def eval(self) -> Self:
        """Put the average x in the parameters' place; the optimizer itself."""
        return self.train(False)

    def _averaged(self) -> Iterator[tuple[Tensor, dict[str, Any], Mapping[str, Any]]]:
        """The parameters that have been stepped."""
        for group in self.param_groups:
            for param in group["params"]:
                if "z" in self.state.get(param, {}):
                    yield param, self.state[param], group

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, in the mode that the others are in."""
        mode = self.training
        super().add_param_group(param_group)
        self.param_groups[-1]["train_mode"] = mode

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, as in `Optimizer`; RuntimeError in eval mode."""
        self._must_train()
        return super().step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # as the face's own

    def step_one(self, param: Tensor, stepper: Stepper | None = None) -> Stepper:
        """Step one parameter alone, as in `Optimizer`; RuntimeError in eval mode."""
        self._must_train()
        return super().step_one(param, stepper)

    def _must_train(self) -> None:
        if not self.training:
            raise RuntimeError(
                f"{type(self).__name__}.step() in eval mode, where the parameters hold the average: "
                "call optimizer.train() before training goes on, optimizer.eval() before the model is tried or saved"
            )


# In a group in eval mode: the momentum that x was made with. It may have been changed since, by a schedule.
AVERAGED_BY = "averaged_by"


def _rounding(param: Tensor, group: Mapping[str, Any]) -> Rounding:
    return rounding_of(param.dtype, group["rounding"])


def _beta(group: Mapping[str, Any]) -> float:
    beta: float = plain(group["momentum"] if "momentum" in group else group["betas"][0])
    return beta


def _average(y: Tensor, state: Mapping[str, Any], storage: Rounding, beta: float) -> Tensor:
    """x = y + (1 - 1 / beta) (z - y), as the parameter's dtype holds it."""
    kept = state.get(storage.kept)
    held = real(plain_memory(local(y)))
    full = storage.load(held, None if kept is None else local(kept))
    return torch.lerp(full, real(local(state["z"])), 1 - 1 / beta).to(held.dtype)


def _put_average(param: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    state["y"] = param.detach().clone()
    real(local(param)).copy_(_average(state["y"], state, _rounding(param, group), _beta(group)))


def _restore(param: Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    y = state.pop("y", None)
    held, storage = real(local(param)), _rounding(param, group)
    now = plain_memory(held)
    beta = group.get(AVERAGED_BY, _beta(group))
    if y is not None and torch.equal(now, _average(y.to(param.device, param.dtype), state, storage, beta)):
        param.copy_(y)
        return
    z = real(local(state["z"]))
    # somebody wrote the parameter: its x is new
    held.copy_(torch.lerp(now.to(z.dtype), z, 1 - _beta(group)))
