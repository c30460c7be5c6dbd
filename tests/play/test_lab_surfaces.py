"""The lab's surface tasks are the page's surfaces: a run is a race, bit for bit."""

import json

import pytest
import torch

from thalweg import compare
from thalweg.catalogue import CATALOGUE
from thalweg.lab.random.seeds import derive
from thalweg.lab.task.load import load_task
from thalweg.lab.verbs.replay import replay
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


@pytest.mark.apart
@pytest.mark.parametrize(
    ("task", "surface", "more"),
    [("rosenbrock", "rosenbrock", {}), ("ravine", "noisy", {"batch": 100, "constants": {"condition": 100.0}})],
)
def test_a_replayed_trial_is_a_race(task, surface, more, tmp_path):
    """And so the page's run, which is the race in every bit. By `reference`: kernels may join a product and a sum."""
    spelled = {name: f"{name}(engine='reference')" for name in ("adam", "momentum")}
    compare(task, list(spelled.values()), trials=3, seeds=1, finalist_seeds=2, on="alone", out=tmp_path / "study")
    trials = [json.loads(line) for line in (tmp_path / "study" / "trials.jsonl").read_text().splitlines()]
    for optimizer, name in spelled.items():
        trial = next(t for t in trials if t["optimizer"] == name and t["phase"] == "final" and t["status"] == "done")
        found = replay(tmp_path / "study", trial["id"])
        assert found.apart == 0
        again = found.again
        (place,) = load_task(task).build(again.seed).parameters()
        seeded = {**more, "seed": derive(again.seed, "order", 0) & 0xFFFFFFFF} if more else {}
        raced = race(surface, {optimizer: again.settings}, 300, start=tuple(place.tolist()), **seeded)
        ends = list(again.curve.steps)
        assert again.curve.validation_loss == [float(loss) for loss in raced.losses[0, ends]]
        assert again.curve.validation_metric == pytest.approx([float(d) for d in raced.distances[0, ends]], rel=1e-6)
