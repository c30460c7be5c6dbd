"""Recordings of studies: the runs of the study, the same whatever trained it, and the loss around them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from thalweg.catalogue import CATALOGUE
from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.recording import record as recorder
from thalweg.lab.recording.losses import Losses
from thalweg.lab.recording.path import Trajectory, trained
from thalweg.lab.task.builtin import quadratic, surfaces
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial, train
from thalweg.lab.training.trial import Configuration
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.replay import report
from thalweg.lab.verbs.sweep import sweep
from thalweg.lab.verbs.tune import tune
from thalweg.play.landscape import Landscape
from thalweg.play.planes import Plane, principal

SMALL = {"trials": 3, "finalists": 1, "finalist_seeds": 2, "seeds": 1}


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setattr(recorder, "SIZES", (7,))


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))


def rows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    points = torch.randn(count, 2, generator=torch.Generator().manual_seed(seed))
    return points, (points.sum(1) > 0).long()


def little(**changes) -> Task:
    parts = {"train": rows(128, 0), "validation": rows(64, 1), "test": rows(64, 2)}
    settings = {"model": network, "loss": nn.CrossEntropyLoss(), "metric": "accuracy", "epochs": 3, "batch_size": 32}
    return Task(**{**settings, "name": "little", **parts, **changes})


def weights(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "recording.npz", allow_pickle=False) as held:
        return dict(held)


@pytest.mark.apart
def test_on_the_quadratic_task_the_slice_is_the_analytic_surface(tmp_path):
    found = compare(quadratic.task(), ["sgd", "adam"], **SMALL, on="alone", out=tmp_path / "study", record=True)
    made = found.landscape()
    held = weights(found.folder)
    runs = [run.name for run in made.slices[0].runs]
    assert sorted(runs) == ["adam", "sgd"] and runs == [row.optimizer for row in found.rows]
    parts = [held[f"{name}/weights"] for name in runs]
    assert (parts[0][0] == parts[1][0]).all(), "of one seed, they begin at the same weights"
    origin = parts[0][-1].astype(np.float64)
    plane = Plane(origin, principal(parts, origin))
    curvatures = quadratic.Numbers().curvatures.double().numpy()
    whole = made.slices[0]
    for row, y in enumerate(whole.y):
        for column, x in enumerate(whole.x):
            analytic = (curvatures * np.square(plane.at(x, y))).sum() / 2
            assert whole.values[row, column] == pytest.approx(analytic, rel=1e-5)


@pytest.mark.apart
def test_a_model_of_two_numbers_lies_wholly_in_the_plane(tmp_path):
    made = compare(surfaces.rosenbrock(), ["sgd", "adam"], **SMALL, on="alone", out=tmp_path, record=True).landscape()
    for each in made.slices:
        for run in each.runs:
            assert run.total == pytest.approx(1, abs=1e-7) and run.share == pytest.approx(1, abs=1e-7)
            assert run.slice_loss == pytest.approx(run.loss, rel=1e-4, abs=1e-6)
    bounds = made.slices[0].runs[0].steps
    assert bounds[0] == 0 and bounds[-1] == surfaces.STEPS and 24 <= len(bounds) <= 48


@pytest.mark.parametrize("name", ["adam", "schedule_free_adamw", "momentum"])
def test_to_be_watched_changes_no_run(name):
    task, entry = little(), CATALOGUE[name]
    setting = Configuration(name, {"lr": 0.01}, 0)
    job = Job("watched", "final", 0, entry, setting, task.epochs)
    way = Trajectory(most=5)
    plain, watched = run_trial(task, job), run_trial(task, job, partial(train, trajectory=way))
    assert watched.curve == plain.curve and watched.test_loss == plain.test_loss
    assert way.steps[0] == 0 and way.steps[-1] == 12 and len(way.steps) <= 5
    assert way.model is not None
    last = torch.cat([p.detach().flatten() for p in trained(way.model)])
    assert (torch.from_numpy(way.array[-1]) == last).all(), "the last ones are the result, for an average too"
    assert (way.array[0] == torch.cat([p.detach().flatten() for p in task.build(0).parameters()]).numpy()).all()


def test_a_way_is_evenly_spread_whatever_its_length():
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for length in (1, 7, 8, 9, 100, 1023):
        way = Trajectory(most=8)
        for steps in range(length + 1):
            way.see(steps, model, optimizer)
        way.see(length, model, optimizer, last=True)
        assert way.steps[0] == 0 and way.steps[-1] == length and 2 <= len(way.steps) <= 8
        gaps = np.diff(way.steps)
        assert (gaps[:-1] == way.every).all() and gaps[-1] <= way.every


@pytest.mark.apart
@pytest.mark.parametrize("on", ["lanes", "processes"])
def test_every_runner_has_the_same_recording(tmp_path, on):
    found = {
        how: compare(little(), ["sgd", "adam"], **SMALL, on=how, out=tmp_path / how, record=True)
        for how in ("alone", on)
    }
    alone, other = (weights(each.folder) for each in found.values())
    assert alone.keys() == other.keys() and len(alone) == 4
    assert all((alone[name] == other[name]).all() for name in alone)
    one, two = (each.landscape() for each in found.values())
    assert one.block() == two.block() and one.notes == ()


@pytest.mark.apart
def test_off_by_default_and_made_later_by_the_same_call(tmp_path):
    plain = sweep(little(), ["sgd", "adam"], points=2, closer=0, seeds=1, extend=False, out=tmp_path)
    assert not list(tmp_path.glob("recording*"))
    with pytest.raises(StudyError, match="has no recording; rerun its command with --record"):
        plain.landscape()
    before = (tmp_path / "trials.jsonl").read_bytes()
    again = sweep(little(), ["sgd", "adam"], points=2, closer=0, seeds=1, extend=False, out=tmp_path, record=True)
    assert (tmp_path / "trials.jsonl").read_bytes() == before and again.landscape().title == "little, seed 0"
    made = (tmp_path / "recording.json").stat().st_mtime_ns
    sweep(little(), ["sgd", "adam"], points=2, closer=0, seeds=1, extend=False, out=tmp_path, record=True)
    assert (tmp_path / "recording.json").stat().st_mtime_ns == made, "what is there is not made again"


def test_a_tuning_shows_what_was_tuned_beside_the_default(tmp_path):
    found = tune(little(), "adam", method="sobol", hyperparameters="lr,batch_size", trials=3, finalists=1,
                 finalist_seeds=2, out=tmp_path, record=True)  # fmt: skip
    assert {run.name for run in found.landscape().slices[0].runs} == {"adam, tuned", "adam, default"}


@pytest.mark.apart
def test_a_recording_is_read_without_any_code_of_the_task(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\nfrom thalweg.lab.task.task import Task\n"
        "x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))\n"
        "task = Task(model=lambda: nn.Linear(2, 2), loss=nn.CrossEntropyLoss(), train=(x, (x.sum(1) > 0).long()),\n"
        "            epochs=2)\n"
    )
    found = compare(f"{tmp_path / 'mine.py'}:task", ["sgd"], **SMALL, out=tmp_path / "study", record=True)
    (tmp_path / "mine.py").write_text("raise SystemExit('it ran')\n")
    code = "import sys; from thalweg.lab.verbs.replay import report; print(report(sys.argv[1]).landscape())"
    told = subprocess.run([sys.executable, "-c", code, found.folder], capture_output=True, text=True, check=True)
    assert "5 slices" in told.stdout and "sgd" in told.stdout


@pytest.mark.apart
def test_a_damaged_recording_is_said(tmp_path):
    found = sweep(little(), "sgd", points=2, closer=0, seeds=1, extend=False, out=tmp_path, record=True)
    path = tmp_path / "recording.json"
    whole = json.loads(path.read_text())
    breaks = [
        ("[1, 2", "cannot be read"),
        (json.dumps({**whole, "slices": []}), "slices: is empty"),
        (json.dumps({**whole, "title": 3}), "title: got 3; must be a text"),
    ]
    for key, value, said in [
        ("x", [1, 1], r"slices\[0\].x: got \[1, 1\]; must be two numbers, the lower first"),
        ("values", [[1, 2], [1]], r"slices\[0\].values: must be rows of one length"),
        ("values", [[1, "a"], [1, 2]], "must be a number"),
        ("lines", [{"name": "x", "at": [1], "loss": []}], "columns are not of one length"),
    ]:
        breaks.append((json.dumps({**whole, "slices": [{**whole["slices"][0], key: value}]}), said))
    for text, said in breaks:
        path.write_text(text)
        with pytest.raises(StudyError, match=said):
            found.landscape()
        assert report(tmp_path).verdict == found.verdict, "the study is none the worse"


def test_batch_normalisation_is_recalibrated_or_said_to_be_as_trained():
    def normed() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))

    task = little(model=normed)
    model = task.build(0)
    losses = Losses(task, model, 0)
    assert losses.batchnorm == "recalibrated"
    place = np.concatenate([p.detach().numpy().ravel() for p in trained(model)]).astype(np.float64)
    before = losses(place)
    scaled = place.copy()
    scaled[:8] *= 50  # the layer before the norm: with its own statistics nothing changes but for epsilon
    scaled[8:12] *= 50
    assert losses(scaled) == pytest.approx(before, rel=1e-3)
    assert losses(place) == before, "no trace of where it has been"
    fixed = nn.Sequential(*model)
    fixed.eval()
    single = replace(task, train=tuple(part[:1] for part in rows(128, 0)))
    alone = Losses(single, single.build(0), 0)  # one row has no statistics
    assert alone.batchnorm == "as trained" and np.isfinite(alone(place))
    assert Losses(little(), little().build(0), 0).batchnorm is None


def test_the_loss_is_the_models_own_at_any_weights():
    task = little()
    model = task.build(3)
    losses = Losses(task, model, 0)
    other = task.build(5).eval()
    place = np.concatenate([p.detach().numpy().ravel() for p in other.parameters()])
    assert losses(place) == pytest.approx(float(task.compute_loss(other, rows(128, 0)).detach()), rel=1e-6)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*rows(128, 0)), batch_size=48, shuffle=True)
    assert Losses(little(train=loader), task.build(3), 0)(place) == pytest.approx(losses(place), rel=1e-6)


class Gaps(nn.Module):
    """Complex numbers, and a parameter whose memory has gaps."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Parameter(torch.ones(2, dtype=torch.complex64))
        self.gaps = nn.Parameter(torch.ones(3, 4).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.gaps[:2, :2] + (self.turn * 1j).imag)


def test_complex_and_strided_parameters():
    task = little(model=Gaps)
    losses = Losses(task, model := task.build(0), 0)
    losses(np.arange(16.0))
    assert model.turn.tolist() == [0 + 1j, 2 + 3j] and model.gaps.flatten().tolist() == list(range(4, 16))


@pytest.mark.apart
def test_a_model_too_large_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "BYTES", 600)
    with pytest.raises(LabError, match="record: the model has 42 trained numbers, and 4 checkpoints of a run are"):
        compare(little(), ["sgd"], out=tmp_path / "study", record=True)
    assert not (tmp_path / "study").exists()
    monkeypatch.setattr(recorder, "BYTES", 4 * 42 * 9)  # room for two runs of four checkpoints
    found = sweep(
        little(),
        ["sgd", "adam", "momentum"],
        points=2,
        closer=0,
        seeds=1,
        extend=False,
        out=tmp_path / "study",
        record=True,
    )
    held = weights(found.folder)
    assert len(held) == 4 and sum(each.nbytes for name, each in held.items() if "weights" in name) <= 4 * 42 * 9


@pytest.mark.apart
def test_in_a_notebook_it_is_a_picture(tmp_path):
    made = sweep(little(), "sgd", points=2, closer=0, seeds=1, extend=False, out=tmp_path, record=True).landscape()
    assert isinstance(made, Landscape) and made._repr_png_().startswith(b"\x89PNG")


@pytest.mark.apart
def test_a_comparisons_report_shows_the_ways_of_its_finalists(tmp_path):
    plain = compare(little(), ["sgd", "adam"], **SMALL, on="alone", out=tmp_path)
    page = tmp_path / "report.html"
    assert "figure-ways" not in page.read_text()
    compare(little(), ["sgd", "adam"], **SMALL, on="alone", out=tmp_path, record=True)
    shares = {run.name: run.total for run in plain.landscape().slices[0].runs}
    told = page.read_text()
    assert 'id="figure-paths"' in told and all(f"{name} {share:.0%}" in told for name, share in shares.items())
    (tmp_path / "recording.json").write_text("{}")
    report(tmp_path)
    assert "figure-ways" not in page.read_text()
