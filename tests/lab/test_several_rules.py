"""Optimizers with a rule for each role of parameters as contenders: `muon_adamw` and `hybrid(...)`."""

from __future__ import annotations

import pickle
import re
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import little
import pytest
import test_lanes
import torch
from torch import nn

import thalweg
import thalweg.optim as optim
from thalweg.catalogue import Entry
from thalweg.lab.errors import LabError
from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.lanes.runner import Lanes
from thalweg.lab.runners.processes.pickling import pack
from thalweg.lab.search.hyperparameters import search_ranges
from thalweg.lab.study.optimizers import check_fit, describe, known_entry, resolve
from thalweg.lab.study.records import to_json
from thalweg.lab.verbs.compare import compare
from thalweg.optimizers.hybrid import Hybrid

BOTH = ["muon_adamw", "hybrid(matrix='muon(momentum=0.9)', convolution='muon(momentum=0.9)', rest='adamw(eps=1e-6)')"]
RATES = [("lr", "adamw_lr"), ("lr", "rest_lr")]
convolutions = test_lanes.TASKS["convolutions"]


def parts(optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, int]]:
    return {group["part"]: (group["lr"], len(group["params"])) for group in optimizer.param_groups}


def test_a_model_s_parameters_go_to_the_rule_of_their_role() -> None:
    made = Entry.of(BOTH[1]).build(test_lanes.Convolutions(), lr=0.03)
    assert isinstance(made, Hybrid)
    assert parts(made) == {"matrix+convolution": (0.03, 1), "rest": (0.001, 5)}  # the last layer is the head
    matrices, rest = made.param_groups
    assert (matrices["momentum"], rest["eps"]) == (0.9, 1e-6)
    made = Entry.of("muon_adamw").build(test_lanes.Convolutions(), adamw_lr=0.5)
    assert parts(made)["rest"] == (0.5, 4)


@pytest.mark.parametrize(("name", "rates"), list(zip(BOTH, RATES, strict=True)), ids=["muon_adamw", "hybrid"])
def test_both_rates_are_searched_in_their_rules_ranges(name: str, rates: tuple[str, str]) -> None:
    ranges = search_ranges(Entry.of(name), convolutions())
    muon, adamw = Entry.of("muon").search("lr"), Entry.of("adamw").search("lr")
    assert [(ranges[rate].low, ranges[rate].high) for rate in rates] == [muon, adamw]


@pytest.mark.apart
@pytest.mark.usefixtures("one_thread")
def test_they_are_compared_and_what_is_found_can_be_pasted(tmp_path: Path) -> None:
    found = compare(convolutions(epochs=1), BOTH, out=tmp_path, on="alone", trials=3, finalists=1, finalist_seeds=2)
    assert all(trial.done for trial in found.trials)
    for name, rates in zip(BOTH, RATES, strict=True):
        tried = [trial.settings for trial in found.trials if trial.optimizer == name and trial.phase == "search"]
        assert all(len({settings[rate] for settings in tried}) > 1 for rate in rates)
    for row in found.rows:
        line = Entry.of(row.optimizer).line(**row.settings)
        made = eval(line, {"thalweg": __import__("thalweg"), "partial": partial, "model": test_lanes.Convolutions()})
        assert isinstance(made, Hybrid) and made.param_groups[0]["lr"] == row.settings["lr"]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", BOTH, ids=["muon_adamw", "hybrid"])
def test_side_by_side_they_give_what_each_gives_alone(name: str) -> None:
    """But for the rounding of Muon's bfloat16 products, which a gradient's last bit may turn."""
    task, jobs = convolutions(epochs=1), [test_lanes.job(seed, name, seed=seed, epochs=1) for seed in range(3)]
    runner = Lanes(3, least=1)
    together = {trial.id: trial for trial in runner.run(task, jobs)}
    assert runner.reasons == []
    for trial in Alone().run(task, jobs):
        assert test_lanes.alike(together[trial.id], trial, relative=2e-2)


@pytest.mark.parametrize("name", BOTH, ids=["muon_adamw", "hybrid"])
def test_a_study_and_another_process_know_them_again(name: str) -> None:
    entry = Entry.of(name)
    assert known_entry(name, to_json(describe(entry))) == entry
    assert pickle.loads(pack(entry, "the job")) == entry


def test_the_class_is_the_name() -> None:
    assert Entry.of(optim.MuonAdamW) is Entry.of("muon_adamw")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hybrid", "got no part; name a rule for each role, such as hybrid"),
        ("hybrid(matrx='muon')", "hybrid got matrx='muon'"),
        ("hybrid(matrix='moun')", "'moun' is neither"),
        ("hybrid(matrix='muon', rest='schedule_free_adamw')", "must be a class of thalweg.optim"),
        ("hybrid(matrix='muon', rest='torch.optim.AdamW')", "must be a class of thalweg.optim"),
        ("hybrid(matrix='muon', rest=0.1)", "hybrid got rest=0.1"),
        (optim.Hybrid, "none without its parts"),
    ],
)
def test_what_is_none_is_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Entry.of(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("muon_adamw", "adamw, which would step 0.weight, refuses its sparse gradients"),
        ("hybrid(rest='sparse_adam')", "sparse_adam, which would step 2.weight, takes sparse gradients alone"),
        ("hybrid(embedding='sparse_adam', rest='adamw')", None),
    ],
)
def test_each_parameter_s_gradient_is_its_rule_s(name: str, said: str | None) -> None:
    rows = (torch.arange(8).repeat(2)[:, None], torch.arange(8).repeat(2))
    layers: Any = lambda: nn.Sequential(nn.Embedding(8, 4, sparse=True), nn.Flatten(), nn.Linear(4, 8))  # noqa: E731
    task = little.task(model=layers, train=rows, validation=rows, test=rows)
    entry = Entry.of(name)
    assert entry.takes_sparse == (name != "muon_adamw")
    with nullcontext() if said is None else pytest.raises(LabError, match=said):
        check_fit(task, [entry])


def test_an_optimizer_of_rules_that_leave_parameters_over_says_which() -> None:
    with pytest.raises(ValueError, match=r"no part takes 0.bias \(bias\)"):
        Entry.of("hybrid(matrix='muon', head='muon')").build(
            nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3, bias=False))
        )


@pytest.mark.parametrize("typed", ["adam(lr=-1)", "adam(lr='x')", "adam(betas=2)", "torch.optim.SGD(momentum=-1)"])
def test_a_setting_that_its_class_refuses_is_said_before_anything_is_written(typed, tmp_path):
    """The study's folder was made first, and the error came as a traceback."""
    with pytest.raises(LabError, match=re.escape(f"optimizers: {typed}: Invalid")):
        thalweg.compare("digits", [typed, "sgd"], out=tmp_path / "study")
    assert not (tmp_path / "study").exists()


class Rated(torch.optim.SGD):
    """Its learning rate has no default: the search gives it."""

    def __init__(self, params, lr, momentum=0.0):
        super().__init__(params, lr=lr, momentum=momentum)


def test_a_rate_that_must_be_given_is_the_searchs_to_give():
    [entry] = resolve([f"{__name__}:Rated(momentum=0.5)"])
    assert entry.settings == {"momentum": 0.5}
