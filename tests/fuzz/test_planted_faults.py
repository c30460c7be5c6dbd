"""Faults planted in the package: a run of bounded length finds each of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fuzz.operations import OPERATIONS
from fuzz.program import draw, find
from thalweg.optimizers import loading, stepper
from thalweg.optimizers.clipping import Clipping
from thalweg.optimizers.optimizer import Optimizer
from thalweg.plan import plan, sparse
from thalweg.plan import state as states
from thalweg.tensors.layout import laid_like
from thalweg.update.update import Reader

PROGRAMS = 200
FEW = ("Adam", "SGD momentum", "NAdam", "RMSprop centered", "SGD sparse")
FAULTS = {}
LATE = {  # the first program that shows each, where it is not among the first few: it is tried before the others
    "addresses_of_states_are_not_compared": 47,
    "step_counts_are_not_read_again": 52,
    "a_step_with_infinite_gradients_is_taken": 35,
    "the_last_chunk_is_lost_on_two_threads": 26,
    "names_are_not_looked_at_in_loading": 21,
    "loading_shares_the_tensors": 12,
}


def fault(function):
    """Enter a function that plants a fault."""
    FAULTS[function.__name__] = function
    return function


def gone(_):
    """What is left of a fact that is not seen."""


def blind(monkeypatch, **lost):
    """Signatures that do not see something: `lost` says what is left of each of their facts.

    Without the operations that free memory under a tensor: a plan that missed them would write where it must not, and
    the tests would end with it. All memory that was ever stepped is held for the same reason.
    """
    held = []
    for name in ("share_memory", "free_and_refill_storage", "move_state"):
        monkeypatch.delitem(OPERATIONS, name, raising=False)

    class Blind(stepper.Signature):
        def __init__(self, *args):
            super().__init__(*args)
            params, _, state, *_ = args
            stepped = [*params, *(value for own in state.values() for value in own.values())]
            held.extend(each.detach() for each in stepped if isinstance(each, torch.Tensor))
            for name, change in lost.items():
                self.facts[name] = change(self.facts[name])

    monkeypatch.setattr(stepper, "Signature", Blind)


@fault
def addresses_of_parameters_are_not_compared(monkeypatch):
    blind(monkeypatch, at=gone)


@fault
def addresses_of_states_are_not_compared(monkeypatch):
    moving = OPERATIONS["move_state"]
    blind(monkeypatch, states_at=gone)
    monkeypatch.setitem(OPERATIONS, "move_state", replace(moving, function=give_states_new_data))


def give_states_new_data(side, dice):
    """Of the ways to move a state the one that leaves its old memory alone."""
    for value in [value for value in side.state(dice.one(side.params)).values() if isinstance(value, torch.Tensor)]:
        if not value.is_sparse:
            side.junk.append(value.data)
            value.data = value.data.clone()


@fault
def strides_of_parameters_are_not_compared(monkeypatch):
    """A parameter in new memory of another order has another address, too: both are kept from view."""
    blind(monkeypatch, at=gone, order=gone)


@fault
def strides_of_gradients_are_not_compared(monkeypatch):
    blind(monkeypatch, gradients_order=gone)


@fault
def negated_gradients_are_not_seen(monkeypatch):
    blind(monkeypatch, negated=gone)


@fault
def settings_of_groups_are_not_compared(monkeypatch):
    blind(monkeypatch, groups=lambda groups: [each[:2] for each in groups])


@fault
def states_are_not_compared(monkeypatch):
    blind(monkeypatch, objects=gone, states_at=gone)


@fault
def step_counts_are_not_read_again(monkeypatch):
    advance = plan.Plan.advance

    def advance_blindly(self, scale=1.0):
        self._left = self.ages.values[:, self._index].tobytes()
        advance(self, scale)

    monkeypatch.setattr(plan.Plan, "advance", advance_blindly)


@fault
def a_group_has_one_age(monkeypatch):
    form_rows = plan.Plan._form_rows

    def form_rows_by_group(self):
        form_rows(self)
        group_of = [id(self.members[row[0]].group) for row in self._rows]
        first = {group: index for index, group in reversed(list(enumerate(group_of)))}
        for group, row in zip(group_of, self._rows, strict=True):
            for index in row:
                self.row_of[index] = first[group]

    monkeypatch.setattr(plan.Plan, "_form_rows", form_rows_by_group)


@fault
def those_without_a_gradient_age_too(monkeypatch):
    advance = plan.Plan.advance

    def advance_all(self, scale=1.0):
        kept = self.ages.values[0].copy()
        advance(self, scale)
        others = np.setdiff1d(np.arange(len(kept)), self.positions)
        self.ages.values[0, others] = kept[others] + 1

    monkeypatch.setattr(plan.Plan, "advance", advance_all)


@fault
def states_are_not_laid_out_as_the_parameter(monkeypatch):
    monkeypatch.setattr(
        states, "in_line", lambda held, name, p, dtype: held if held.dtype == dtype else laid_like(held, p, dtype)
    )


@fault
def loading_shares_the_tensors(monkeypatch):
    take_over = Optimizer._take_over

    def share(self, taken, before):
        take_over(self, taken, before)
        params = [p for group in self.param_groups for p in group["params"]]
        places = [place for group in taken["param_groups"] for place in group["params"]]
        for place, p in zip(places, params, strict=True):
            self.state[p].update(taken["state"].get(place, {}))

    monkeypatch.setattr(Optimizer, "_take_over", share)


@fault
def names_are_not_looked_at_in_loading(monkeypatch):
    monkeypatch.setattr(loading, "matched", lambda taken, groups: taken)


@fault
def a_switch_is_not_in_the_key_of_the_kernels(monkeypatch):
    update = Optimizer._update
    known = {}

    def by_class(self, group, scaled=False):
        key = (type(self), scaled, group["weight_decay"] != 0, group.get("momentum", 0) > 0)
        return known.setdefault(key, update(self, group, scaled))

    monkeypatch.setattr(Optimizer, "_update", by_class)


@fault
def numbers_of_a_group_are_worked_out_once(monkeypatch):
    read = Reader.read

    def stale(self, group):
        return vars(self).setdefault("first", read(self, group))

    monkeypatch.setattr(Reader, "read", stale)


@fault
def gradients_are_held_after_the_step(monkeypatch):
    step = stepper.Stepper.step

    def hold(self, params, gradients, *rest):
        step(self, params, gradients, *rest)
        self.held = gradients

    monkeypatch.setattr(stepper.Stepper, "step", hold)


@fault
def frozen_parameters_are_not_stepped(monkeypatch):
    step = stepper.Stepper.step

    def pass_over(self, params, gradients, *rest):
        thawed = [g if p.requires_grad else None for p, g in zip(params, gradients, strict=True)]
        return step(self, params, thawed, *rest)

    monkeypatch.setattr(stepper.Stepper, "step", pass_over)


@fault
def clipping_is_left_out(monkeypatch):
    look = Clipping.look

    def without(self, *args):
        norm, self.clip_norm = self.clip_norm, None
        try:
            return look(self, *args)
        finally:
            self.clip_norm = norm

    monkeypatch.setattr(Clipping, "look", without)


@fault
def a_step_with_infinite_gradients_is_taken(monkeypatch):
    look = Clipping.look
    monkeypatch.setattr(Clipping, "look", lambda self, gs, scales, scale, found: look(self, gs, scales, scale, None))


@fault
def the_last_chunk_is_lost_on_two_threads(monkeypatch):
    cut = plan.cut

    def lose(numels, parts, limit, whole=1):
        chunks, bounds = cut(numels, parts, limit, whole)
        return (chunks, [*bounds[:-1], bounds[-1] - 1]) if len(bounds) > 2 else (chunks, bounds)

    monkeypatch.setattr(plan, "cut", lambda *args: (lambda got: (got[0], np.array(got[1])))(lose(*args)))


@fault
def repeated_rows_are_not_added_up(monkeypatch):
    refresh = sparse.RowsPlan.refresh

    def as_they_come(self, gradients):
        def flat(g):
            same = g is None or g.layout is torch.strided
            return g if same else torch.sparse_coo_tensor(g._indices(), g._values(), g.shape, is_coalesced=True)

        refresh(self, [flat(g) for g in gradients])

    monkeypatch.setattr(sparse.RowsPlan, "refresh", as_they_come)


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found(name, monkeypatch):
    FAULTS[name](monkeypatch)
    found = find(draw(seed, 20, FEW) for seed in (LATE.get(name, 0), *range(PROGRAMS)))
    assert found, f"{PROGRAMS} programs did not show it"
    assert "test_planted_faults.py" not in found, "the planting failed, not the planted"


@pytest.mark.apart
def test_without_a_fault_there_is_no_difference():
    """The programs that show the faults, and the first, which show most of them."""
    assert find(draw(seed, 20, FEW) for seed in (*range(12), *LATE.values())) == ""
