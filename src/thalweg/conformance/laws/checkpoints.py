"""Checkpoints: a run that is saved and gone on with is the run that was never stopped."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch

from thalweg.conformance.errors import RefusedError
from thalweg.conformance.evidence import copies, same
from thalweg.conformance.law import expect, law, need, refused
from thalweg.conformance.subject import Subject, gradients, refusals, slots

THEME = "checkpoints"
HALFWAY = 3
STEPS = 6
MANY = (80, 64)  # states of 8 or 4 bits, of whatever library, are of tensors with 4,096 elements and more


def load(optimizer: torch.optim.Optimizer, saved: Any) -> None:
    """load_state_dict; RefusedError with what it raises."""
    with refusals():
        optimizer.load_state_dict(saved)


def resume(s: Subject, through: Callable[[Any], Any], dtype: torch.dtype = torch.float32) -> None:
    """Stop halfway, take the checkpoint `through` something, go on in a new optimizer: the same bits."""
    plain, params = (s.params(MANY, 7, dtype=dtype) for _ in range(2))
    drawn = gradients(plain, STEPS)
    s.run(plain, drawn)
    saved = through(s.run(params, drawn[:HALFWAY]).state_dict())
    again = [torch.nn.Parameter(value) for value in copies(params)]
    optimizer = s.build(again)
    load(optimizer, saved)
    for each in drawn[HALFWAY:]:
        s.step(optimizer, each)
    same(again, plain)


@law(THEME, modes=True)
def resumed_run(s: Subject) -> str:
    """A run resumed from its state_dict goes on with the same bits."""
    resume(s, copy.deepcopy)
    return f"stopped at step {HALFWAY} of {STEPS}: the same bits"


@law(THEME, modes=True)
def resumed_from_a_file(s: Subject) -> str:
    """A run resumed through torch.save and torch.load(weights_only=True) goes on with the same bits."""

    def through(saved: Any) -> Any:
        buffer = io.BytesIO()
        with refusals():
            torch.save(saved, buffer)
            buffer.seek(0)
            return torch.load(buffer, weights_only=True)

    resume(s, through)
    return f"stopped at step {HALFWAY} of {STEPS}: the same bits"


@law(THEME, modes=True, may_refuse=True)
def resumed_in_bfloat16(s: Subject) -> str:
    """A resumed run of bfloat16 parameters goes on with the same bits."""
    resume(s, copy.deepcopy, torch.bfloat16)
    return f"stopped at step {HALFWAY} of {STEPS}: the same bits"


@law(THEME)
def format_of_the_checkpoint(s: Subject) -> str:
    """A state_dict has `state` and `param_groups`, and numbers the parameters from 0."""
    params = s.params()
    saved = s.run(params, gradients(params, 1)).state_dict()
    expect({"state", "param_groups"} <= saved.keys(), f"keys {sorted(map(str, saved))}", "state and param_groups")
    places = [place for group in saved["param_groups"] for place in group["params"]]
    expect(places == [0, 1], f"param_groups number the parameters {places}", "[0, 1]")
    strange = set(saved["state"]) - set(places)
    expect(not strange, f"state has the keys {sorted(map(str, strange))}", "0 and 1 alone")
    return "state, param_groups; parameters 0 and 1"


@law(THEME)
def loaded_state_is_a_copy(s: Subject) -> str:
    """A loaded state shares no memory with the checkpoint: going on with one leaves the other as it was."""
    params = s.params()
    drawn = gradients(params, 4)
    saved = s.run(params, drawn[:2]).state_dict()
    kept = copy.deepcopy(saved)
    again = s.params()
    optimizer = s.build(again)
    load(optimizer, saved)
    for each in drawn[2:]:
        s.step(optimizer, each)
    need(bool(saved["state"]), "it has no state")
    for place, state in saved["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                same([value], [kept["state"][place][name]], f"after 2 steps of the copy, the checkpoint's {name!r}")
    return "2 steps of the copy: the checkpoint is untouched"


@law(THEME, modes=True, may_refuse=True)
def loading_keeps_dtypes(s: Subject) -> str:
    """A float32 state of bfloat16 parameters is float32 after loading."""
    params = s.params(MANY, 7, dtype=torch.bfloat16)
    optimizer = s.run(params, gradients(params, 2))
    need(any(slots(optimizer, p) for p in params), "it has no state of the parameter's shape")
    saved = copy.deepcopy(optimizer.state_dict())
    names = set()
    for state in saved["state"].values():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.dtype.is_floating_point and value.dim():
                state[name] = value.float()
                names.add(name)
    again = s.build(s.params(MANY, 7, dtype=torch.bfloat16))
    load(again, saved)
    for p in again.param_groups[0]["params"]:
        for name, value in slots(again, p).items():
            if name in names:
                expect(value.dtype == torch.float32, f"{name} is {value.dtype} after loading", "torch.float32")
    return f"{', '.join(sorted(names))}: float32"


@law(THEME)
def loading_starts_anew(s: Subject) -> str:
    """The checkpoint of a fresh optimizer takes a used one back to the start."""
    plain, params = s.params(), s.params()
    drawn = gradients(plain, 5)
    s.run(plain, drawn[2:])
    saved = copy.deepcopy(s.build(s.params()).state_dict())
    optimizer = s.run(params, drawn[:2])
    with torch.no_grad():
        for p, first in zip(params, s.params(), strict=True):
            p.copy_(first)
    load(optimizer, saved)
    for each in drawn[2:]:
        s.step(optimizer, each)
    same(params, plain)
    return "3 steps: the same bits as fresh"


@law(THEME, modes=True)
def copied_and_pickled(s: Subject) -> str:
    """copy.deepcopy and pickle of parameters and optimizer go on with the same bits."""
    params = s.params()
    drawn = gradients(params, STEPS)
    optimizer = s.run(params, drawn[:HALFWAY])
    twins = [_twin(lambda: copy.deepcopy((params, optimizer)))]
    twins.append(_twin(lambda: pickle.loads(pickle.dumps((params, optimizer)))))
    for each in drawn[HALFWAY:]:
        s.step(optimizer, each)
    for how, (again, twin) in zip(("deepcopy", "pickle"), twins, strict=True):
        for each in drawn[HALFWAY:]:
            s.step(twin, each)
        same(again, params, f"after {how}, the parameters")
    return f"{STEPS - HALFWAY} steps: the same bits"


def _twin(make: Callable[[], Any]) -> Any:
    with refusals():
        return make()


@law(THEME)
def another_number_of_parameters(s: Subject) -> str:
    """A checkpoint with another number of parameters is refused."""
    params = s.params()
    saved = s.run(params, gradients(params, 1)).state_dict()
    other = s.build(s.params()[:1])
    return refused(lambda: load(other, saved), "a checkpoint of 2 parameters for 1")


@law(THEME, modes=True)
def another_shape(s: Subject) -> str:
    """A checkpoint of another shape is refused, at the latest in the next step."""
    params = s.params((4, 3))
    used = s.run(params, gradients(params, 2))
    need(bool(slots(used, params[0])), "it has no state of the parameter's shape")
    other = s.params((3, 4))

    def go_on() -> None:
        optimizer = s.build(other)
        load(optimizer, copy.deepcopy(used.state_dict()))
        s.step(optimizer, gradients(other, 1)[0])

    return refused(go_on, "a state of (4, 3) for a parameter of (3, 4)")


@law(THEME)
def old_checkpoints(s: Subject) -> str:
    """A checkpoint from before a switch existed loads, and the switch has its default."""
    params = s.params()
    drawn = gradients(params, 2)
    saved = s.run(params, drawn[:1]).state_dict()
    switches = [name for name, value in s.defaults.items() if value is None or isinstance(value, bool)]
    need(bool(switches), "it has no switches")
    for name in switches:
        old = copy.deepcopy(saved)
        old["param_groups"][0].pop(name, None)
        optimizer = s.build(s.params())
        try:
            load(optimizer, old)
            s.step(optimizer, drawn[1])
        except RefusedError as error:
            expect(False, f"without {name!r}: {error}", "it loads, and steps")
        group = optimizer.param_groups[0]
        expect(name in group, f"{name!r} is missing in the group after loading", f"{s.defaults[name]!r}")
    return f"without {', '.join(switches)}: each loads and steps"
