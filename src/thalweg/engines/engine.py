"""What an engine is: it says which parameters it refuses, and steps a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from thalweg.plan.plan import Plan
from thalweg.update.update import Group, Update


class Engine(ABC):
    """Runs a rule over a plan."""

    name: str

    @abstractmethod
    def refusal(self, param: torch.Tensor) -> str | None:
        """Why this engine cannot step this parameter; None where it can."""

    def lacks(self, device: torch.device) -> str | None:
        """Why this engine can step nothing that is on a device of its kind; None where it can."""
        return None

    def on_device(self, update: Update, group: Group, guarded: bool) -> bool:
        """True where a group's step counts and numbers are to live on the device. `guarded`: the factor of its
        gradients is known there alone."""
        return False

    def prepare(self, plan: Plan) -> None:
        """Build what a new plan needs: what fails to build, fails here, before anything is measured or moved."""
        return None

    def measure(self, plan: Plan) -> None:
        """Work out what the rule measures on whole tensors, for this step."""
        plan.measure()

    @abstractmethod
    def launch(self, plan: Plan) -> Callable[[], object]:
        """What makes one step of everything in the plan, which holds this step's gradients.

        Whatever can fail beforehand is done here; nothing has moved when it returns.
        """
