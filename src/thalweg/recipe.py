"""A recipe: one rule and the stages around it. It is what one kernel computes, and what a launch is keyed by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from thalweg.equations import Program
from thalweg.hyperparameters import plain
from thalweg.rule import Rule
from thalweg.stages import NUMBERS, Stage

Group = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Recipe:
    """The stages that a group uses, then its rule; where `cautious`, nothing of that goes against the gradient."""

    rule: Rule
    stages: tuple[Stage, ...]
    cautious: bool = False

    @property
    def name(self) -> str:
        return "+".join([*(stage.name for stage in self.stages), self.rule.name, *(["cautious"] * self.cautious)])

    @cached_property
    def _inside(self) -> tuple[Stage, ...]:
        """The stages that stand before the rule's elements: where per_tensor directs, it has seen the staged gradient,
        and only what acts on the parameter is left."""
        return tuple(stage for stage in self.stages if not (self.rule.directs and stage.on_gradient))

    @cached_property
    def program(self) -> Program:
        return Program([*(stage.element for stage in self._inside), self.rule.element])

    def numbers(
        self, step: float, carried: Mapping[str, float], group: Group, scale: float = 1.0
    ) -> tuple[dict[str, Any], ...]:
        """What the stages and the rule take by keyword in this step; the rule's dict holds the next carried numbers.

        `scale` multiplies all gradients of this step.
        """
        rule = self.rule
        if not group["differentiable"]:
            group = {name: plain(group[name]) for name in (*rule.hyperparameters, *NUMBERS)}
        settings = {name: group[name] for name in rule.hyperparameters}
        numbers = rule.per_step(step, *[carried[name] for name in rule.carried], **settings)
        return (*[stage.per_step(group, scale) for stage in self.stages], numbers)

    def staged(self, p: Any, g: Any, numbers: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
        """Parameter and gradient as the rule sees them."""
        for stage, own in zip(self.stages, numbers, strict=False):
            p, g = stage.per_element(p, g, **own)
        return p, g

    def inside(self, numbers: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """Of a row's dicts those of the pieces that `elements` gives."""
        if not self.rule.directs:
            return numbers
        kept = [own for stage, own in zip(self.stages, numbers, strict=False) if stage in self._inside]
        return (*kept, numbers[-1])

    def elements(self) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """The element functions in order, each with the numbers it takes."""
        pieces: tuple[Stage | Rule, ...] = (*self._inside, self.rule)
        for piece in pieces:
            yield piece.per_element, piece.element.numbers
