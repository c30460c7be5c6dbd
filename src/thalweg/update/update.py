"""A recipe: one rule and the stages around it. It is what one kernel computes, and what a launch is keyed by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import is_, itemgetter
from typing import Any, NamedTuple

from thalweg.rule.definition import Rule
from thalweg.rule.equations import Program
from thalweg.rule.hyperparameters import number
from thalweg.update.transforms import NUMBERS, Stage

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
        self, step: float, carried: Mapping[str, float], settings: Settings, scale: float = 1.0
    ) -> tuple[dict[str, Any], ...]:
        """What the stages and the rule take by keyword in this step; the rule's dict holds the next carried numbers.

        `scale` multiplies all gradients of this step.
        """
        rule = self.rule
        numbers = rule.per_step(step, *[carried[name] for name in rule.carried], **settings.of_rule)
        return (*[stage.per_step(settings.all, scale) for stage in self.stages], numbers)

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


class Settings(NamedTuple):
    """What a recipe takes of a group: all of it, and what goes to the rule."""

    all: Group
    of_rule: Group


class Reader:
    """Reads a group's settings, as Python's numbers unless `followed` by autograd. They are worked out anew where the
    group holds other objects than before, or such as may change in place (a rate that is a tensor)."""

    def __init__(self, recipe: Recipe, followed: bool) -> None:
        self._names = tuple(dict.fromkeys((*recipe.rule.hyperparameters, *NUMBERS)))
        self._take = itemgetter(*self._names)
        self._of_rule = recipe.rule.hyperparameters
        self._followed = followed
        self._known: tuple[tuple[Any, ...], Settings | None] = ((), None)  # values, and what they give for good

    def read(self, group: Group) -> Settings:
        """The group's settings now."""
        values = self._take(group)
        before, known = self._known  # one attribute, as a signal may come between two
        if known is not None and all(map(is_, values, before)):
            return known
        found = dict(zip(self._names, values if self._followed else map(number, self._names, values), strict=True))
        settings = Settings(found, {name: found[name] for name in self._of_rule})
        self._known = (values, settings) if all(map(_fixed, values)) else ((), None)
        return settings


def _fixed(value: Any) -> bool:
    """True for what stays what it is, and owns no memory."""
    kind = type(value)
    return kind in (float, bool, int, str, type(None)) or (kind is tuple and all(map(_fixed, value)))
