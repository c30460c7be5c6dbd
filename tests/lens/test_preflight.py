"""What groups and settings give away before step 0."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from thalweg.lens.preflight import preflight


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))


def names(model, optimizer, **more):
    return [finding.name for finding in preflight(model, optimizer, **more)]


def test_what_torch_gives_by_default_is_sound():
    model = network()
    for make in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop, torch.optim.NAdam):
        assert names(model, make(model.parameters()), steps=10_000) == []


def test_a_forgotten_parameter_has_its_share():
    model = network()
    [finding] = preflight(model, torch.optim.Adam(list(model.parameters())[:-2]))
    assert (finding.name, finding.where) == ("no_group", ("3.weight", "3.bias"))
    assert finding.facts["share"] == 18 / 74


def test_a_frozen_parameter_is_not_forgotten():
    model = network()
    model[0].requires_grad_(False)
    assert names(model, torch.optim.Adam([p for p in model.parameters() if p.requires_grad])) == []


def test_another_models_parameters():
    assert names(network(), torch.optim.Adam(network().parameters())) == ["no_group", "not_in_model"]


def test_half_precision():
    model = network().half()
    assert names(model, torch.optim.Adam(model.parameters())) == ["eps_vanishes"]
    model = network().bfloat16()
    assert names(model, torch.optim.Adam(model.parameters())) == ["beta2_stuck"]
    assert names(model, torch.optim.Adam(model.parameters(), betas=(0.9, 0.95))) == []


def test_memory_and_warm_up():
    model = network()
    assert names(model, torch.optim.Adam(model.parameters()), steps=300) == ["beta2_memory"]
    assert names(model, torch.optim.Adam(model.parameters(), betas=(0.9, 0.5))) == ["beta2_too_short"]

    def warm(steps):
        return lambda step: min(1.0, (step + 1) / steps)

    adam = torch.optim.Adam(model.parameters())
    assert names(model, adam, steps=50_000, schedule=warm(100)) == ["short_warm_up"]
    assert names(model, adam, steps=50_000, schedule=warm(3000)) == []


def test_decay_counts_where_it_pulls():
    model = network()
    heavy = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)
    assert names(model, heavy, steps=2000) == ["decay_on_norms"]
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    parted = torch.optim.AdamW(
        [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], lr=1e-2, weight_decay=0.5
    )
    assert names(model, parted, steps=2000) == []


def test_wrong_steps_are_refused():
    model = network()
    with pytest.raises(ValueError, match="steps: got 0"):
        preflight(model, torch.optim.Adam(model.parameters()), steps=0)
