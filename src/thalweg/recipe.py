"""A recipe: one rule and the stages around it. It is what one kernel computes, and what a launch is keyed by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thalweg.equations import Program
from thalweg.hyperparameters import plain
from thalweg.rule import Rule
from thalweg.stages import Stage

Group = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Recipe:
    """The stages that a group uses, then its rule."""

    rule: Rule
    stages: tuple[Stage, ...]

    @property
    def name(self) -> str:
        return "+".join([*(stage.name for stage in self.stages), self.rule.name])

    @cached_property
    def program(self) -> Program:
        return Program([*(stage.element for stage in self.stages), self.rule.element])

    def numbers(self, step: float, carried: Mapping[str, float], group: Group) -> tuple[dict[str, float], ...]:
        """What the stages and the rule take by keyword in this step; the rule's dict holds the next carried numbers."""
        rule = self.rule
        settings = {name: plain(group[name]) for name in rule.hyperparameters}
        numbers = rule.per_step(step, *[carried[name] for name in rule.carried], **settings)
        return (*[stage.per_step(group) for stage in self.stages], numbers)

    def elements(self) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """The element functions in order, each with the numbers it takes."""
        pieces: tuple[Stage | Rule, ...] = (*self.stages, self.rule)
        for piece in pieces:
            yield piece.per_element, piece.element.numbers
