"""What a constructor takes, and what it must not take in silence."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch

from thalweg.conformance.errors import BrokenError, RefusedError
from thalweg.conformance.evidence import same
from thalweg.conformance.law import expect, law, need, refused
from thalweg.conformance.subject import Subject, gradients, parameters_of_optimizer

THEME = "construction"
STRANGE = "not_a_setting"
OFTEN_TYPED = ("weight_decay", "momentum", "betas", "lr")


def slip(s: Subject) -> str:
    """One of its settings as a slip of the finger leaves it."""
    name = next((name for name in OFTEN_TYPED if s.has(name)), "setting")
    return name + name[-1]


@law(THEME)
def misspelt_settings(s: Subject) -> str:
    """A setting that the class does not have is refused."""
    refused(lambda: s.build(s.params(), **{slip(s): 0.1}), f"{slip(s)}=0.1")
    return refused(lambda: s.build(s.params(), **{STRANGE: 0.1}), f"{STRANGE}=0.1")


@law(THEME)
def negative_lr(s: Subject) -> str:
    """A negative learning rate is refused."""
    need(s.has("lr"), "it has no lr")
    return refused(lambda: s.build(s.params(), lr=-1.0), "lr=-1.0")


@law(THEME)
def nan_lr(s: Subject) -> str:
    """A learning rate of NaN is refused."""
    need(s.has("lr"), "it has no lr")
    return refused(lambda: s.build(s.params(), lr=math.nan), "lr=nan")


@law(THEME)
def bad_group_values(s: Subject) -> str:
    """A negative learning rate is refused in a parameter group too."""
    need(s.has("lr"), "it has no lr")
    return refused(lambda: s.build([{"params": s.params(), "lr": -1.0}]), "a group with lr=-1.0")


@law(THEME)
def misspelt_group_settings(s: Subject) -> str:
    """A setting misspelt in a parameter group is refused."""
    return refused(lambda: s.build([{"params": s.params(), slip(s): 0.1}]), f"a group with {slip(s)}=0.1")


@law(THEME)
def no_parameters(s: Subject) -> str:
    """An empty list of parameters is refused."""
    return refused(lambda: s.build([]), "an empty list")


@law(THEME)
def a_tensor_for_a_list(s: Subject) -> str:
    """One parameter in place of a list of them is refused."""
    return refused(lambda: s.build(s.params()[0]), "a parameter that is not in a list")


@law(THEME)
def not_a_leaf(s: Subject) -> str:
    """A tensor that is computed from others is refused."""
    return refused(lambda: s.build([2 * s.params()[0]]), "a tensor with a grad_fn")


@law(THEME)
def the_same_parameter_twice(s: Subject) -> str:
    """A parameter given twice is refused between groups, and at least warned of within one."""
    p = s.params()[0]
    said = refused(lambda: s.build([{"params": [p]}, {"params": [p]}]), "one parameter in two groups")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            s.build([p, p])
        except RefusedError:
            return said
    expect(bool(heard), "one parameter twice in a group is silently accepted", "an error or a warning")
    return f"between groups: {said}; within one: a warning"


@law(THEME)
def named_parameters(s: Subject) -> str:
    """Parameters given with their names are stepped as without, and the checkpoint keeps the names."""
    plain, named = s.params(), s.params()
    steps = gradients(plain, 3)
    s.run(plain, steps)
    optimizer = s.build([(f"layer{place}", p) for place, p in enumerate(named)])
    for each in steps:
        s.step(optimizer, each)
    same(named, plain)
    names = optimizer.state_dict()["param_groups"][0].get("param_names")
    expect(names == ["layer0", "layer1"], f"param_names={names}", "['layer0', 'layer1']")
    return f"param_names={names}"


@law(THEME, may_refuse=True)
def a_group_added_late(s: Subject) -> str:
    """A group added with add_param_group after some steps is stepped as in an optimizer of its own."""
    first, second, alone = s.params(seed=1), s.params(seed=2), s.params(seed=2)
    steps = gradients(first, 6)
    need(not s.couples_parameters, "its steps depend on all parameters together")
    s.run(alone, steps[3:])
    optimizer = s.run(first, steps[:3])
    _add(optimizer, {"params": second})
    for each in steps[3:]:
        s.step(optimizer, [*each, *each])
    same(second, alone)
    return "3 steps after it was added: the same bits"


def _add(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
    count = len(parameters_of_optimizer(optimizer))
    try:
        optimizer.add_param_group(group)
    except Exception as error:
        raise RefusedError(error) from error
    if len(parameters_of_optimizer(optimizer)) == count:
        raise BrokenError("add_param_group adds nothing", "the group's parameters in param_groups")
