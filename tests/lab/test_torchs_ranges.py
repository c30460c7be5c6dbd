"""A class of torch's that the catalogue has is searched over the catalogue's ranges: the two are compared alike."""

from __future__ import annotations

from typing import Any

import little
import pytest

from thalweg.catalogue import CATALOGUE, Entry
from thalweg.lab.search.hyperparameters import search_ranges
from thalweg.lab.study.optimizers import describe, known_entry
from thalweg.lab.study.records import to_json

CASES = {
    "torch.optim.AdamW": "adamw",
    "torch.optim.SGD": "sgd",
    "torch.optim.SGD(momentum=0.9)": "momentum",
    "torch.optim.SGD(momentum=0.9, nesterov=True)": "nesterov",
    "torch.optim.RMSprop(alpha=0.99)": "rmsprop",
    "torch.optim.Adagrad": "adagrad",
}


@pytest.mark.parametrize(("torchs", "ours"), CASES.items())
def test_every_hyperparameter_has_the_range_of_the_catalogue(torchs: str, ours: str) -> None:
    task = little.task()
    assert Entry.of(torchs).search("lr") == CATALOGUE[ours].search("lr")
    theirs, known = search_ranges(Entry.of(torchs), task), search_ranges(CATALOGUE[ours], task)
    assert theirs == known


def test_a_study_of_the_time_of_another_range_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    described: dict[str, Any] = to_json(describe(Entry.of("torch.optim.AdamW")))
    described["lr"]["search"] = [1e-5, 1e-1]
    assert known_entry("torch.AdamW", described) == Entry.of("torch.optim.AdamW")
    described["lr"]["default"] = 0.5
    assert known_entry("torch.AdamW", described) is None
