"""Two optimizers side by side: their settings, where their paths part, and what each does in every probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.differences import probes
from thalweg.differences.contender import EMPTY, SWITCHES, Contender, DifferenceError, find, measure_precision

SYNONYMS = (
    ("decoupled_weight_decay", "weight_decouple", "decoupled_decay", "decouple"),
    ("amsgrad", "ams_bound"),
    ("momentum_decay", "schedule_decay"),
    ("rectify_above", "n_sma_threshold"),
    ("bias_correction", "use_bias_correction"),
)


@dataclass(frozen=True)
class Finding:
    """What a probe found of each; None where it does not apply."""

    probe: str
    first: str | None
    second: str | None

    @property
    def differs(self) -> bool:
        """Both answer, and have no answer in common: 'this = that' is told where the probe cannot part the two."""
        if self.first is None or self.second is None:
            return False
        return not set(self.first.split(" = ")) & set(self.second.split(" = "))


@dataclass(frozen=True)
class Explanation:
    """What `explain_difference` found; printed, it is the report."""

    names: tuple[str, str]
    shared: dict[str, Any]
    unlike: dict[str, tuple[Any, Any]]  # settings that both have and that each runs with a value of its own
    defaults_that_differ: dict[str, tuple[Any, Any]]
    only: tuple[dict[str, Any], dict[str, Any]]
    synonyms: tuple[tuple[str, str], ...]
    steps: int
    parted: int | None
    apart: tuple[float, float]  # of the way gone by then: at the step where they part, and at the last
    findings: tuple[Finding, ...]

    @property
    def differences(self) -> tuple[Finding, ...]:
        """The probes that tell the two apart."""
        return tuple(each for each in self.findings if each.differs)

    def __str__(self) -> str:
        lines = [f"A  {self.names[0]}", f"B  {self.names[1]}", "", *self._settings(), "", self._paths(), ""]
        for each in self.findings:
            if each.differs:
                lines += [f"* {each.probe}", f"    A  {each.first}", f"    B  {each.second}"]
            elif None not in (each.first, each.second):
                lines.append(f"  {each.probe}: {each.first}")
            else:
                side, word = ("A", each.first) if each.second is None else ("B", each.second)
                lines.append(f"  {each.probe}: {word} ({side}; not told of the other)")
        found = ", ".join(each.probe for each in self.differences)
        return "\n".join([*lines, "", f"They differ in: {found}." if found else "No probe tells them apart."])

    def _settings(self) -> list[str]:
        lines = ["both run with  " + (_listed(self.shared) or "nothing in common")]
        for name, (first, second) in self.unlike.items():
            lines.append(f"each runs with its own {name}: {first!r} in A, {second!r} in B")
        for name, (first, second) in self.defaults_that_differ.items():
            if name not in self.unlike:
                lines.append(f"default of {name}: {first!r} in A, {second!r} in B")
        for side, names in zip("AB", self.only, strict=True):
            if names:
                lines.append(f"only {side} has  {_listed(names)}")
        lines += [f"{first} in A and {second} in B: two names of one setting" for first, second in self.synonyms]
        return lines

    def _paths(self) -> str:
        if self.parted is None:
            return f"no difference in {self.steps} steps on the same gradients"
        return (
            f"on the same gradients they part at step {self.parted}, by {self.apart[0]:.2g} of the way gone; "
            f"after {self.steps} steps by {self.apart[1]:.2g}"
        )


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in settings.items())


def explain_difference(
    first: str | type[torch.optim.Optimizer],
    second: str | type[torch.optim.Optimizer],
    *,
    steps: int = 100,
    **settings: Any,
) -> Explanation:
    """Run two optimizers on the same float64 gradients, and say where they part and what they do differently.

    Args:
        first: a class, or a name: 'timm.optim:RMSpropTF', 'torch.optim.SGD(momentum=0.9)'.
        second: another. Settings that both know run with the first's defaults, unless told otherwise.
        steps: how far to follow the two, at least 1.
        settings: by keyword, for whichever of the two has them.

    Raises:
        DifferenceError: a name that cannot be found, a setting that neither has, a class that cannot be stepped so.

    >>> print(explain_difference("torch.optim.Adam", "thalweg.optim.AdamW").differences[0].second)
    decay decoupled, by lr * weight_decay
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise DifferenceError(f"steps: got {steps!r}; must be a whole number of at least 1")
    a, b = find("first", first), find("second", second)
    _settle(a, b, settings)
    for one in (a, b):
        measure_precision(one)
    parted, apart = _compare_paths(a, b, steps)
    names = (_without_switches(a), _without_switches(b))
    common = {name: (a.value(name), b.value(name)) for name in names[0] if name in names[1]}
    return Explanation(
        names=(a.name, b.name),
        shared={name: pair[0] for name, pair in common.items() if _same(*pair)},
        unlike={name: pair for name, pair in common.items() if not _same(*pair)},
        defaults_that_differ={
            name: (a.defaults[name], b.defaults[name])
            for name in names[0]
            if name in names[1] and a.defaults[name] != b.defaults[name]
        },
        only=(
            {name: a.value(name) for name in names[0] if name not in names[1]},
            {name: b.value(name) for name in names[1] if name not in names[0]},
        ),
        synonyms=_synonyms(a, b),
        steps=steps,
        parted=parted,
        apart=apart,
        findings=_probe(a, b),
    )


def _without_switches(one: Contender) -> list[str]:
    return [name for name in one.defaults if name not in SWITCHES]


def _settle(a: Contender, b: Contender, given: dict[str, Any]) -> None:
    """Give both the same settings where names and kinds agree."""
    unknown = [name for name in given if not (a.has(name) or b.has(name))]
    if unknown:
        known = sorted({*a.defaults, *b.defaults})
        raise DifferenceError(
            f"{unknown[0]}={given[unknown[0]]!r}: neither has this setting; they have {', '.join(known)}"
        )
    for one, other in ((a, b), (b, a)):
        one.settings = {name: value for name, value in given.items() if one.has(name)}
        if one.has("engine") and one.cls.__module__.startswith("thalweg"):
            one.settings.setdefault("engine", "reference")  # the definition of right: nothing to compile
        for name in _without_switches(one):
            if other.has(name) and name not in given and name not in one.own and name not in other.own:
                value = _common(a.defaults[name], b.defaults[name])
                if value is not EMPTY:
                    one.settings[name] = value
        one.settings.update(one.own)
        missing = [name for name, value in one.defaults.items() if value is EMPTY and name not in one.settings]
        if missing:
            raise DifferenceError(f"{one.name}: {missing[0]} has no default; give it a value")
    a.rated = b.rated = all(isinstance(one.value("lr"), (int, float)) for one in (a, b))


def _common(first: Any, second: Any) -> Any:
    """The first's default, if the second can take it: a number for a number, a pair for a pair. EMPTY if not.

    A switch whose defaults differ (AdamW's decoupled decay) is what makes the class; each keeps its own.
    """
    if first is EMPTY or second is EMPTY:
        return second if first is EMPTY else first
    if isinstance(first, (tuple, list)) and isinstance(second, (tuple, list)) and len(first) == len(second):
        return EMPTY if EMPTY in [_common(x, y) for x, y in zip(first, second, strict=True)] else first
    numbers = [isinstance(each, (int, float)) and not isinstance(each, bool) for each in (first, second)]
    return first if all(numbers) or (type(first) is type(second) and first == second) else EMPTY


def _same(first: Any, second: Any) -> bool:
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


def _synonyms(a: Contender, b: Contender) -> tuple[tuple[str, str], ...]:
    pairs = []
    for names in SYNONYMS:
        mine, its = ([name for name in names if one.has(name)] for one in (a, b))
        if mine and its and mine[0] != its[0]:
            pairs.append((mine[0], its[0]))
    return tuple(pairs)


def varied(step: int, p: Tensor) -> Tensor:
    """Random gradients whose size changes by up to ten from step to step."""
    generator = torch.Generator().manual_seed(step)
    size = 10 ** (2 * torch.rand((), generator=generator, dtype=torch.float64, device="cpu") - 1)
    return size * torch.randn(p.shape, generator=generator, dtype=p.dtype, device="cpu")


def _compare_paths(a: Contender, b: Contender, steps: int) -> tuple[int | None, tuple[float, float]]:
    """The first step after which they are further apart than rounding can bring them, and how far."""
    one, other = (each.path(probes.start(), varied, steps).points for each in (a, b))
    precision = max(a.precision, b.precision)
    parted, apart = None, (0.0, 0.0)
    way = 0.0
    for step in range(1, steps + 1):
        way += float((one[step] - one[step - 1]).abs().max())
        gap = float((one[step] - other[step]).abs().max())
        # A step rounds some ten operations, each by half a unit of the parameter's last place at most.
        rounding = 10 * step * precision * (float(one[step].abs().max()) + way)
        share = gap / way if way else float(gap > 0)
        if parted is None and not gap <= rounding:  # NaN parts too
            parted, apart = step, (share, share)
        apart = (apart[0], share)
    return parted, apart


def _probe(a: Contender, b: Contender) -> tuple[Finding, ...]:
    findings = [Finding(name, _answer(probe, a), _answer(probe, b)) for name, probe in probes.PROBES.items()]
    first, second = _read(a), _read(b)
    for place, (name, part) in enumerate({"eps": 0, "bias correction": 1, "accumulator starts from": 2}.items()):
        findings.insert(2 + place, Finding(name, first[part], second[part]))
    return tuple(each for each in findings if (each.first, each.second) != (None, None))


def _answer(probe: Callable[[Contender], str | None], one: Contender) -> str | None:
    try:
        return probe(one)
    except DifferenceError as error:  # one that refuses what the probe sets
        return f"refused: {error}"


def _read(one: Contender) -> tuple[str | None, str | None, str | None]:
    try:
        found = probes.reading(one)
    except DifferenceError as error:
        return f"refused: {error}", None, None
    return (found.eps, found.correction, found.start) if found else (None, None, None)
