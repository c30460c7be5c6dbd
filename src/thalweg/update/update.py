"""An update: one rule and the transforms around it. It is what one kernel computes, and what a launch is keyed by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import is_, itemgetter
from typing import Any, NamedTuple

from thalweg.rule.definition import Rule
from thalweg.rule.equations import Program
from thalweg.rule.hyperparameters import OneOf, Valid, check_changed, number
from thalweg.update.transforms import NUMBERS, SHARED, Transform

Group = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Update:
    """The transforms that a group uses, then its rule; where `cautious`, nothing of that goes against the gradient."""

    rule: Rule
    transforms: tuple[Transform, ...]
    cautious: bool = False

    @property
    def name(self) -> str:
        return "+".join(
            [*(transform.name for transform in self.transforms), self.rule.name, *(["cautious"] * self.cautious)]
        )

    @cached_property
    def _inside(self) -> tuple[Transform, ...]:
        """Transforms that stand before the rule's elements: where per_tensor directs, it has seen the staged gradient,
        and only what acts on the parameter is left."""
        return tuple(transform for transform in self.transforms if not (self.rule.directs and transform.on_gradient))

    @cached_property
    def program(self) -> Program:
        return Program([*(transform.element for transform in self._inside), self.rule.element])

    def numbers(
        self, step: float, carried: Mapping[str, float], settings: Settings, scale: float = 1.0
    ) -> tuple[dict[str, Any], ...]:
        """What transforms and rule take by keyword in this step; the rule's dict holds the next carried numbers.

        `scale` multiplies all gradients of this step.
        """
        rule = self.rule
        numbers = rule.per_step(step, *[carried[name] for name in rule.carried], **settings.of_rule)
        return (*[transform.per_step(settings.all, scale) for transform in self.transforms], numbers)

    def staged(self, p: Any, g: Any, numbers: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
        """Parameter and gradient as the rule's per_tensor sees them. A parameter that it never looks at is not shrunk:
        one of 85 million numbers takes 0.15 s."""
        for transform, own in zip(self.transforms, numbers, strict=False):
            if transform.on_gradient or self.rule.measures_parameter:
                p, g = transform.per_element(p, g, **own)
        return p, g

    def element_numbers(self, numbers: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        """Of a row's dicts those of the pieces that `elements` gives."""
        if not self.rule.directs:
            return numbers
        kept = [own for transform, own in zip(self.transforms, numbers, strict=False) if transform in self._inside]
        return (*kept, numbers[-1])

    def elements(self) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """The element functions in order, each with the numbers it takes."""
        pieces: tuple[Transform | Rule, ...] = (*self._inside, self.rule)
        for piece in pieces:
            yield piece.per_element, piece.element.numbers


class Settings(NamedTuple):
    """What a recipe takes of a group: all of it, and what goes to the rule."""

    all: Group
    of_rule: Group


class Reader:
    """Reads a group's settings, as Python's numbers unless `followed` by autograd. They are worked out anew where the
    group holds other objects than before, or such as may change in place (a rate that is a tensor)."""

    def __init__(self, update: Update, followed: bool) -> None:
        self._names = tuple(dict.fromkeys((*update.rule.hyperparameters, *NUMBERS)))
        self._take = itemgetter(*self._names)
        self._of_rule = update.rule.hyperparameters
        every = {**SHARED, **update.rule.hyperparameters}
        ranges = [(each, every[each].rule) for each in self._names if each in every]
        self._ranges = [(name, valid) for name, valid in ranges if isinstance(valid, Valid)]
        self._words = {name: each.rule for name, each in self._of_rule.items() if isinstance(each.rule, OneOf)}
        self._followed = followed
        self._known: tuple[tuple[Any, ...], Settings | None] = ((), None)  # values, and what they give for good

    def read(self, group: Group) -> Settings:
        """The group's settings now."""
        values = self._take(group)
        before, known = self._known  # one attribute, as a signal may come between two
        if known is not None and all(map(is_, values, before)):
            return known
        found = dict(zip(self._names, values, strict=True))
        if not self._followed:
            found = {name: value if name in self._words else number(name, value) for name, value in found.items()}
            for name, valid in self._ranges:
                check_changed(name, found[name], valid)
            for name, words in self._words.items():
                words.check(name, found[name])
        settings = Settings(found, {name: found[name] for name in self._of_rule})
        self._known = (values, settings) if all(map(_fixed, values)) else ((), None)
        return settings


def _fixed(value: Any) -> bool:
    """True for what stays what it is, and owns no memory."""
    kind = type(value)
    return kind in (float, bool, int, str, type(None)) or (kind is tuple and all(map(_fixed, value)))
