"""What an engine is: it says which parameters it refuses, and steps a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from thalweg.plan import Plan
from thalweg.recipe import Group, Recipe


class Engine(ABC):
    """Runs a rule over a plan."""

    name: str

    @abstractmethod
    def refusal(self, param: torch.Tensor) -> str | None:
        """Why this engine cannot step this parameter; None where it can."""

    def on_device(self, recipe: Recipe, group: Group, guarded: bool) -> bool:
        """True where a group's step counts and numbers are to live on the device. `guarded`: the factor of its
        gradients is known there alone."""
        return False

    @abstractmethod
    def step(self, plan: Plan) -> None:
        """One step of everything in the plan, which holds this step's gradients."""
