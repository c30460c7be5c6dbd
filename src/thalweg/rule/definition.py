"""What a rule is: a paper's equations, in two or three scopes, checked when it is defined.

`per_step` works in Python floats, once a step: bias corrections, schedules. `per_tensor`, where there is one, sees
whole tensors through torch's operations: norms, matrix roots. `per_element` is the fused equation. A rule knows nothing
of devices, groups or dtypes. docs/add_a_rule.md shows one from the first line to the comparison.
"""

from __future__ import annotations

import dis
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from thalweg.rule.equations import Equations, RuleError, read
from thalweg.rule.hyperparameters import Hyperparameter, declared
from thalweg.rule.source_text import NoText, text_of

__all__ = ["Rule", "RuleError"]
NAME = r"\w[\w .+-]*"
KINDS = ("signed", "unsigned", "slow")  # of moments


@dataclass(frozen=True, eq=False)
class Rule:
    """An optimizer's equations, written once. `element`, `hyperparameters` and `carried` are read from them.

    Args:
        name: as the catalogue and the command line have it: lower case, words joined by `_`.
        title: what it is, in a line.
        source: authors, year, and where it was published.
        per_step: `per_step(step, *carried, *, hyperparameters) -> dict`, the numbers that `per_element` takes by
            keyword. `step` is 1 in the first step. A positional argument after it is a number carried from step to
            step: its default is its first value, and the dict holds its next one.
        per_element: `per_element(p, g, *states, *, numbers) -> p, *states`, a line an equation, in the words of
            `thalweg.rule.words`. A state starts at 0 where `initial` says nothing.
        departures: where it differs from its source, in sentences.
        torch_names: by state, what torch calls it in a checkpoint; its own name where there is none.
        initial: by state, the hyperparameter that it starts at, or 'p', the parameter.
        when: the settings that must be on for a class with several rules to choose this one.
        decay: 'coupled' (weight_decay * p joins the gradient), 'decoupled' (p shrinks by lr * weight_decay), or 'own'
            (the equations take weight_decay as a hyperparameter).
        weight_decay: the decay where nobody sets it, >= 0.
        counts_steps: False where checkpoints hold no step count; `per_step` may then only ask whether step is 1.
        sparse: what a sparse gradient does: 'rows' (only the rows it touches are stepped), 'only' (so, and no other
            gradient is taken), 'dense' (it is made dense), '' (it is refused).
        moments: the states that may be kept in 8 or 16 bits, each 'signed', 'unsigned' (never below zero) or 'slow'
            (signed, over so many steps that 8 bits are too few): running averages, sums and maxima; not what is
            subtracted from another state, nor a copy of a parameter or a gradient. Of `matrices`, such as
            are shaped as the parameter.
        per_tensor: `per_tensor(p, g, state, *, numbers) -> dict`, which comes between the two. `state` holds the
            tensor's states by letter, and those of `matrices`.
        measures: the names of numbers that `per_tensor` returns: for `per_element`, or, where it is one of the
            carried, its next value.
        matrices: states of `per_tensor` alone, of shapes of their own: each value makes one, from the parameter in the
            dtype of the arithmetic and the group's settings, or None for a parameter that has none.
        summed: whether `measures` are added up over all tensors of the optimizer.
        directs: whether `per_tensor` also returns 'g', which `per_element` takes in place of the gradient.
        stacks: whether `per_tensor` is called once for all tensors of one shape with the same numbers, and takes and
            returns lists: `per_tensor([p, ...], [g, ...], [state, ...], *, numbers) -> {'g': [...]}`.
        unfit: `unfit(p, settings)`: in words, why a parameter is none for this rule (Muon takes matrices), or None.
        check: `check(settings)`: raises ValueError for settings that do not go together.

    Raises:
        RuleError: with the line and the reason, for equations that no engine could run.
    """

    name: str
    title: str
    source: str
    per_step: Callable[..., dict[str, float]]
    per_element: Callable[..., Any]
    departures: str = ""
    torch_names: Mapping[str, str] = field(default_factory=dict)
    initial: Mapping[str, str] = field(default_factory=dict)
    when: tuple[str, ...] = ()
    decay: str = "coupled"
    weight_decay: float = 0.0
    counts_steps: bool = True
    sparse: str = ""
    moments: Mapping[str, str] = field(default_factory=dict)
    per_tensor: Callable[..., dict[str, Any]] | None = None
    measures: tuple[str, ...] = ()
    matrices: Mapping[str, Callable[[Any, Mapping[str, Any]], Any]] = field(default_factory=dict)
    summed: bool = False
    directs: bool = False
    stacks: bool = False
    unfit: Callable[[Any, Mapping[str, Any]], str | None] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None

    element: Equations = field(init=False, repr=False)
    hyperparameters: Mapping[str, Hyperparameter] = field(init=False, repr=False)
    carried: Mapping[str, float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_texts()
        for given, name, allowed in (
            (self.decay, "decay", ("coupled", "decoupled", "own")),
            (self.sparse, "sparse", ("", "rows", "only", "dense")),
        ):
            if given not in allowed:
                raise RuleError(f"rule {self.name!r}: {name} is {given!r}; allowed are {', '.join(map(repr, allowed))}")
        self._set("element", read(self.per_element))
        try:
            settings = {each.name: each for each in declared(self.per_step)}
        except ValueError as error:
            raise RuleError(f"rule {self.name!r}: {error}") from None
        self._set("hyperparameters", MappingProxyType(settings))
        if ("weight_decay" in settings) != (self.decay == "own"):
            raise RuleError(f"rule {self.name!r}: decay='own' and weight_decay in per_step go together")
        self._set("carried", MappingProxyType(self._read_carried()))
        self._set("matrices", MappingProxyType(dict(self.matrices)))
        self._set("moments", MappingProxyType(dict(self.moments)))
        held = [*self.states, *self.matrices]
        self._set("torch_names", MappingProxyType({name: name for name in held} | dict(self.torch_names)))
        self._check_names()
        self._check_first_step()

    @property
    def states(self) -> tuple[str, ...]:
        """The names of the state tensors, as the equations write them."""
        return self.element.states

    @cached_property
    def tensor_numbers(self) -> tuple[str, ...]:
        """The numbers that per_tensor takes by keyword."""
        if self.per_tensor is None:
            return ()
        parameters = inspect.signature(self.per_tensor).parameters.values()
        return tuple(each.name for each in parameters if each.kind is each.KEYWORD_ONLY)

    @cached_property
    def measures_parameter(self) -> bool:
        """Whether per_tensor looks at its first argument."""
        code = getattr(self.per_tensor, "__code__", None)
        if code is None or not code.co_argcount:
            return True
        loaded = [each.argval for each in dis.get_instructions(code) if each.opname.startswith("LOAD")]
        return any(code.co_varnames[0] in (each if isinstance(each, tuple) else (each,)) for each in loaded)

    @property
    def paper(self) -> str:
        """The equations in the paper's letters, without the title: the docstring of a catalogue file; else empty."""
        home = self.per_element.__module__ or ""  # None where it was run by exec
        text = sys.modules[home].__doc__ if home.startswith("thalweg.rules.") else None
        return (text or "").partition("\n\n")[2].rstrip()

    @cached_property
    def equations(self) -> str:
        """The scopes as they are written."""
        scopes = [self.per_step, *([self.per_tensor] if self.per_tensor else []), self.per_element]
        return "\n".join(map(_written, scopes))

    def _check_texts(self) -> None:
        """A name is in kernels and names their files; the other texts are printed and shown in reports."""
        if not (isinstance(self.name, str) and len(self.name) <= 100 and re.fullmatch(NAME, self.name)):
            raise RuleError(
                f"name={self.name!r:.150}: a rule's name is at most 100 letters, digits, spaces and any of _ . + -, "
                "and begins with a letter, a digit or _"
            )
        for field_name, several in (("title", ""), ("source", ""), ("departures", "\n")):
            text = getattr(self, field_name)
            if not (isinstance(text, str) and all(each.isprintable() or each == several for each in text)):
                lines = "lines" if several else "one line"
                raise RuleError(f"rule {self.name!r}: {field_name}={text!r:.150} must be {lines} of printable text")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _read_carried(self) -> dict[str, float]:
        parameters = list(inspect.signature(self.per_step).parameters.values())
        positional = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        if not positional or positional[0].name != "step":
            raise RuleError(
                f"rule {self.name!r}: the first argument of per_step is 'step', hyperparameters follow a bare *"
            )
        for each in positional[1:]:
            if not isinstance(each.default, (int, float)):
                raise RuleError(
                    f"rule {self.name!r}: the carried number {each.name!r} needs its first value as default"
                )
        return {each.name: float(each.default) for each in positional[1:]}

    def _check_names(self) -> None:
        for state in {*self.torch_names, *self.initial} - {*self.states, *self.matrices}:
            raise RuleError(
                f"rule {self.name!r}: {state!r} is no state; the states are {', '.join(self.states) or 'none'}"
            )
        for state, setting in self.initial.items():
            if setting not in self.hyperparameters and setting != "p":
                raise RuleError(
                    f"rule {self.name!r}: state {state!r} starts at {setting!r}, which is no hyperparameter"
                )
        for state, kind in self.moments.items():
            if state not in (*self.states, *self.matrices) or kind not in KINDS:
                raise RuleError(
                    f"rule {self.name!r}: moments has {state!r}: {kind!r}; its states are "
                    f"{', '.join((*self.states, *self.matrices)) or 'none'}, and the kinds {', '.join(KINDS)}"
                )
        if {*self.moments} & {*self.states} and {*self.moments} & {*self.matrices}:
            raise RuleError(f"rule {self.name!r}: moments are of states that per_element has, or of matrices, not both")
        if self.per_tensor is None and (self.measures or self.matrices or self.summed or self.directs):
            raise RuleError(f"rule {self.name!r}: measures, matrices, summed and directs are of a per_tensor")
        if self.stacks and (self.measures or not self.directs):
            raise RuleError(f"rule {self.name!r}: stacks is for a per_tensor that directs and measures nothing")

    def _check_first_step(self) -> None:
        """Run per_step once at its defaults: what it gives is what per_element takes."""
        defaults = {name: each.default for name, each in self.hyperparameters.items()}
        given = self.per_step(1.0, *self.carried.values(), **defaults)
        if not isinstance(given, dict):
            raise RuleError(f"rule {self.name!r}: per_step returns {type(given).__name__}, not a dict of numbers")
        needed = {*self.element.numbers, *self.carried, *self.tensor_numbers}
        for name in needed - {*given, *self.measures}:
            raise RuleError(f"rule {self.name!r}: per_step does not return {name!r}; it returns {', '.join(given)}")
        for name in given.keys() - needed:
            raise RuleError(f"rule {self.name!r}: per_step returns {name!r}, which per_element does not take")
        for name in {*self.measures} - needed:
            raise RuleError(f"rule {self.name!r}: per_tensor measures {name!r}, which per_element does not take")
        for hyperparameter in self.hyperparameters.values():
            hyperparameter.check(hyperparameter.default)


def _written(scope: Callable[..., Any]) -> str:
    """A scope as it was imported. Only `per_element` needs its text; of the others it is for people to read."""
    try:
        return text_of(scope).lines
    except NoText:
        name = getattr(scope, "__name__", type(scope).__name__)
        return f"def {name}{inspect.signature(scope)}: ...  # its text is not at hand\n"
