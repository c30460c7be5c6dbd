"""One optimizer with a rule for each role of parameters: one step, one guard over all gradients, one checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from thalweg.optimizers.loading import Incomplete
from thalweg.optimizers.optimizer import OF_THE_OPTIMIZER, Optimizer
from thalweg.roles import ROLES, roles
from thalweg.rule.definition import Rule
from thalweg.update.update import Update

REST = "rest"
Part = Callable[..., Optimizer]  # a class, or a partial of one


class Hybrid(Optimizer):
    """One optimizer with a rule for each role of parameters.

    Each part is a class of `thalweg.optim`, or of `thalweg.optimizer(rule)`, with settings by `functools.partial`; its
    groups have that class's settings and the key "part". Everything else is as with one rule: a single `state_dict`,
    clipping by the norm of all gradients together, schedulers that keep the ratios of the groups' rates.

    Args:
        model: whose parameters are told apart by `thalweg.roles`, or the parameters themselves (also with their names):
            then those of two and more dimensions are "matrix", the others "vector".
        parts: by role, or by several roles in a tuple; "rest" is what no other part names.
        clip_norm, on_nonfinite, engine: as in every class here, for all parts together.

    Raises:
        TypeError: for a part that is no such class.
        ValueError: for a role that does not exist, parameters that no part takes, and what the part's class refuses.

    >>> from functools import partial
    >>> from torch import nn
    >>> import thalweg.optim as optim
    >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    >>> optimizer = optim.Hybrid(model, {"matrix": partial(optim.Muon, lr=0.02), "rest": partial(optim.AdamW, lr=3e-4)})
    >>> [(group["part"], group["lr"], len(group["params"])) for group in optimizer.param_groups]
    [('matrix', 0.02, 1), ('rest', 0.0003, 3)]
    """

    def __init__(
        self,
        model: nn.Module | Iterable[Any],
        parts: Mapping[str | tuple[str, ...], Part],
        *,
        clip_norm: float | None = None,
        on_nonfinite: str = "propagate",
        engine: str = "auto",
    ) -> None:
        self._parts: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {}
        names: dict[str, str] = {}  # the part of each role
        for given, part in parts.items():
            named = (given,) if isinstance(given, str) else tuple(given)
            for role in named:
                if role not in (*ROLES, REST):
                    raise ValueError(f"parts: got the role {role!r}; must be one of {', '.join((*ROLES, REST))}")
                names[role] = "+".join(named)
            self._parts["+".join(named)] = bound("+".join(named), part)
        self._equip(self._grouped(model, names), {}, clip_norm, on_nonfinite, engine)

    def _grouped(self, model: nn.Module | Iterable[Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
        found: dict[str, list[Any]] = {}
        self._places: dict[str, list[int]] = {}  # of each part's parameters among those of the model
        lacking = []
        for place, (name, p, role) in enumerate(_told(model)):
            part = names.get(role, names.get(REST))
            if part is None:
                lacking.append(f"{name or tuple(p.shape)} ({role})")
            else:
                found.setdefault(part, []).append((name, p) if name else p)
                self._places.setdefault(part, []).append(place)
        if lacking:
            raise ValueError(f"parts: no part takes {', '.join(lacking)}; give these roles a part, or a part 'rest'")
        return [{"params": found[part], "part": part} for part in self._parts if part in found]

    # -- each group is its class's ------------------------------------------------------------------------------

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        """The rules of all parts."""
        return tuple(dict.fromkeys(itertools.chain.from_iterable(cls.rules for cls, _ in self._parts.values())))

    def _class_of(self, group: Mapping[str, Any]) -> type[Optimizer]:
        return self._parts[group["part"]][0]

    def _as(self, group: Mapping[str, Any]) -> Optimizer:
        """What tells a group's rule and checks its settings: these are of the class alone."""
        cls = self._class_of(group)
        return cls.__new__(cls)

    def _settle(self, settings: dict[str, Any]) -> None:
        if "part" in settings:
            self._as(settings)._settle(settings)

    def _check(self, settings: Mapping[str, Any]) -> None:
        self._as(settings)._check(settings)

    def _rule(self, settings: Mapping[str, Any]) -> Rule:
        return self._as(settings)._rule(settings)

    def _update(self, group: Mapping[str, Any], scaled: bool = False) -> Update:
        return self._as(group)._update(group, scaled)

    def _rules_of(self, group: Mapping[str, Any]) -> Sequence[Rule]:
        return self._class_of(group).rules

    def _settings_of(self, group: Mapping[str, Any]) -> Sequence[str]:
        return list(self._parts[group["part"]][1])

    def _kept_in(self, group: Mapping[str, Any]) -> Sequence[str]:
        return ["part", *self._settings_of(group)]

    def _moments(self) -> dict[str, str]:  # type: ignore[override]
        return {name: kind for cls, _ in self._parts.values() for name, kind in cls._moments().items()}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its key "part" says which part steps it, whose settings it has where it names no others."""
        part = param_group.get("part") if isinstance(param_group, dict) else None
        if part not in self._parts:
            raise ValueError(f"part: got {part!r} in a parameter group; must be one of {', '.join(self._parts)}")
        super().add_param_group({**self._parts[part][1], **param_group})

    # -- checkpoints --------------------------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, incomplete: Incomplete = "refuse"
    ) -> None:
        """Take over a checkpoint of this class, or a list of one for each part, as a script writes that steps a pair of
        optimizers: their groups are taken in the order of the parts, and each holds its part's parameters in their
        order. Of parts of one class, one group may hold all parameters, in the model's order.

        Raises ValueError or RuntimeError as every class here does, and for a list that does not fit the parts.
        """
        if not isinstance(state_dict, Mapping):
            state_dict = self._joined(list(state_dict))
        super().load_state_dict(state_dict, incomplete=incomplete)

    def _joined(self, checkpoints: list[Mapping[str, Any]]) -> dict[str, Any]:
        checkpoints = [{**given, "param_groups": [group]} for given in checkpoints for group in given["param_groups"]]
        if len(checkpoints) != len(self.param_groups):
            checkpoints = self._divided(checkpoints)
        groups, state, first = [], {}, 0
        for own, given in zip(self.param_groups, checkpoints, strict=True):
            places = [place for group in given["param_groups"] for place in group["params"]]
            if len(places) != len(own["params"]):
                raise ValueError(
                    f"state_dict: the checkpoint of the part {own['part']!r} has {len(places)} parameters, the part "
                    f"{len(own['params'])}"
                )
            moved = {place: first + index for index, place in enumerate(places)}
            first += len(places)
            state.update({moved[place]: held for place, held in given["state"].items() if place in moved})
            saved = {name: value for name, value in given["param_groups"][0].items() if name != "param_names"}
            groups.append({**saved, "params": list(moved.values()), "part": own["part"]})
        return {"state": state, "param_groups": groups}

    def _divided(self, checkpoints: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """One group for each part, from one for each class."""
        parts = [group["part"] for group in self.param_groups]
        classes = list(dict.fromkeys(map(self._class_of, self.param_groups)))
        if len(checkpoints) != len(classes) or sorted(parts) != sorted(self._places):
            raise ValueError(
                f"state_dict: got a list of {len(checkpoints)} groups; must have one for each part in use: "
                f"{', '.join(parts)}; or one for each class: {', '.join(cls.__name__ for cls in classes)}"
            )
        found: list[Mapping[str, Any]] = []
        for part in parts:
            cls = self._parts[part][0]
            given = checkpoints[classes.index(cls)]
            alike = sorted(place for other in parts if self._parts[other][0] is cls for place in self._places[other])
            [group] = given["param_groups"]
            if len(alike) != len(group["params"]):
                raise ValueError(
                    f"state_dict: the checkpoint of {cls.__name__} has {len(group['params'])} parameters, its parts "
                    f"have {len(alike)}"
                )
            own = [group["params"][alike.index(place)] for place in self._places[part]]
            state = {place: given["state"][place] for place in own if place in given["state"]}
            found.append({"state": state, "param_groups": [{**group, "params": own}]})
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_parts": self._parts, "_places": self._places}


def bound(name: str, part: Part) -> tuple[type[Optimizer], dict[str, Any]]:
    """A part's class, and all its settings.

    Raises:
        TypeError, ValueError: for what is no part.
    """
    given: Any = part if isinstance(part, partial) else partial(part) if callable(part) else partial(type(part))
    cls: Any = given.func if callable(part) else None
    plain = isinstance(cls, type) and issubclass(cls, Optimizer) and not issubclass(cls, Hybrid) and cls.rules
    if not plain or cls.__mro__[1] is not Optimizer:
        raise TypeError(
            f"parts[{name!r}]: got {_shown(part)}; must be a class of thalweg.optim or of thalweg.optimizer(rule), "
            "alone or in functools.partial with its settings. Schedule-Free and AdaHessian have calls of their own, "
            "and are none"
        )
    try:
        bound = cls._arguments.bind((), *given.args, **given.keywords)
    except TypeError as error:
        allowed = ", ".join(list(cls._arguments.parameters)[1:])
        raise TypeError(f"parts[{name!r}]: {cls.__name__}: {error}; the settings are {allowed}") from None
    for setting in OF_THE_OPTIMIZER:
        if setting in bound.arguments:
            raise ValueError(f"parts[{name!r}]: {setting} is of all parts together; give it to Hybrid")
    bound.apply_defaults()
    return cls, {key: value for key, value in bound.arguments.items() if key not in ("params", *OF_THE_OPTIMIZER)}


def _shown(part: Any) -> str:
    return f"a {type(part).__name__} that is made already" if isinstance(part, torch.optim.Optimizer) else repr(part)


def _told(model: nn.Module | Iterable[Any]) -> Iterable[tuple[str, torch.Tensor, str]]:
    """Each parameter with its name, where it is known, and its role."""
    if isinstance(model, nn.Module):
        return [(each.name, each.parameter, each.role) for each in roles(model) if each.parameter.requires_grad]
    given = [each if isinstance(each, tuple) else ("", each) for each in model]
    if wrong := [p for _, p in given if not isinstance(p, torch.Tensor)]:
        raise TypeError(
            f"model: got a {type(wrong[0]).__name__} in it; must be a module, parameters or (name, parameter)"
        )
    shaped: Callable[[torch.Tensor], str] = lambda p: "matrix" if p.dim() > 1 else "vector"  # noqa: E731
    return [(name, p, shaped(p)) for name, p in given]
