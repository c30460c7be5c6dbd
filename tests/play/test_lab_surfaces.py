"""The lab's surface tasks are the page's surfaces: a training is a race, bit for bit."""

import pytest
import torch

from thalweg.catalogue import CATALOGUE
from thalweg.lab.load import load_task
from thalweg.play import race


@pytest.mark.parametrize("optimizer", ["adam", "nesterov", "lamb"])
@pytest.mark.parametrize("name", ["saddle", "rosenbrock", "beale", "quartic"])
def test_a_training_of_the_lab_is_a_race(name, optimizer):
    task = load_task(name)
    torch.manual_seed(3)
    model = task.model()
    (place,) = model.parameters()
    start = tuple(place.tolist())
    found = race(name, {optimizer: {"lr": 0.001}}, 100, start=start)
    stepped = CATALOGUE[optimizer].build(model.parameters(), lr=0.001, engine="reference")
    for step in range(100):
        stepped.zero_grad()
        loss = task.loss(model, (torch.zeros(1, 2),))
        assert loss.item() == found.losses[0, step]
        loss.backward()
        stepped.step()
        assert place.tolist() == found.positions[0, step + 1].tolist()
