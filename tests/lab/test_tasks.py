"""The built-in tasks: each trains, learns something, is the same twice, and says what it is before it is imported."""

from __future__ import annotations

import ast
import gzip
import re
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import little
import pytest
import torch

from thalweg.catalogue import CATALOGUE
from thalweg.lab.errors import LabError, TaskError
from thalweg.lab.study.optimizers import resolve
from thalweg.lab.task import builtin
from thalweg.lab.task.builtin import BUILT_IN, gan, mnist, rl, sources
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Trial
from thalweg.lab.verbs.compare import compare
from thalweg.lab.verbs.range_test import range_test
from thalweg.lab.verbs.sweep import sweep
from thalweg.lab.verbs.tune import tune

# name: rows to train, select and test; a learning rate that suits Adam; and what a short training must reach.
EXPECTED: dict[str, tuple[tuple[int, int, int] | None, float, float]] = {
    "mnist1d": ((4000, 2000, 2000), 1e-2, 0.3),
    "mnist1d-cnn": ((4000, 2000, 2000), 4e-2, 0.25),
    "mnist1d-logistic": ((4000, 2000, 2000), 3e-2, 0.22),
    "speech": ((768, 256, 256), 1e-2, 1.01),
    "rare-classes": ((4608, 2304, 2304), 0.3, 6.0),
    "noisy-labels": ((1078, 359, 360), 1e-2, 0.7),
    "diabetes": ((265, 88, 89), 1e-2, 0.85),
    "breast-cancer": ((341, 114, 114), 1e-2, 0.9),
    "photograph": ((6400, 6400, 6400), 5e-3, 12.0),
    "recall": ((2048, 512, 512), 1e-2, 0.87),
    "digits": ((1078, 359, 360), 1e-2, 0.8),
    "digits-cnn": ((1078, 359, 360), 1e-2, 0.7),
    "charlm": ((6400, 1024, 1024), 1e-2, 5.0),
    "sparse": ((60_000, 10_000, 10_000), 0.1, 0.22),
    "gan": ((1078, 359, 360), 1e-3, 17.0),
    "recsys": (None, 3e-2, 0.75),
    "rl": ((4096, 16, 32), 3e-2, 30.0),
    "saddle": ((300, 1, 1), 0.1, 0.9),
    "rosenbrock": ((300, 1, 1), 0.1, 2.2),
    "beale": ((300, 1, 1), 0.1, 1.7),
    "quartic": ((300, 1, 1), 0.1, 0.8),
    "ravine": ((300, 1, 1), 0.1, 0.9),
    "quadratic": ((1, 1, 1), 0.1, 0.97),
}
SHORT = {"digits": 40, "digits-cnn": 40, "charlm": 3, "sparse": 40, "gan": 60, "recsys": 60, "rl": 8, "quadratic": 20}
LOADED: dict[str, Task] = {}


def loaded(name: str) -> Task:
    """Reading Python's library takes a second: once is enough."""
    if name not in LOADED:
        LOADED[name] = load_task(name)
    return LOADED[name]


def short(name: str) -> Task:
    """A few steps, and fewer rows to judge them on where a model is slow."""
    task = loaded(name)
    if name == "charlm":
        few = tuple(part[:64] for part in task.validation)
        task = replace(task, validation=few, test=few, schedule=None)
    return replace(task, steps=SHORT.get(name, 60), epochs=2)


def run(task: Task, name: str = "adam", lr: float = 1e-2, seed: int = 0) -> Trial:
    return run_trial(task, Job("x", "search", 0, CATALOGUE[name], Configuration(name, {"lr": lr}, seed), task.epochs))


@pytest.mark.apart
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_task_learns_and_is_the_same_twice(name: str) -> None:
    rows, rate, enough = EXPECTED[name]
    task = short(name)
    task.check()
    found, again, other = (run(task, "adagrad" if name == "sparse" else "adam", rate, seed) for seed in (0, 0, 1))
    assert found.done, found.message
    assert found.curve == again.curve != other.curve
    assert (found.metric > enough) == task.larger_is_better, found.metric
    sizes = tuple(task.sources[part].rows for part in ("train", "validation", "test"))
    if name == "recsys":
        assert sizes[1] == sizes[2] == sum(size or 0 for size in sizes) // 10
    elif name != "charlm":
        assert sizes == rows
    assert task.name == name and loaded(name).about and loaded(name).usual_time


def test_parts_of_a_task_do_not_share_rows() -> None:
    for name in ("digits", "charlm", "rl"):
        parts = [loaded(name).sources[part].tensors[0] for part in ("train", "validation", "test")]  # type: ignore[attr-defined]
        rows = [{tuple(row.flatten().tolist()) for row in part[:4000]} for part in parts]
        shared = (rows[0] & rows[1]) | (rows[0] & rows[2]) | (rows[1] & rows[2])
        # The library repeats lines (rows of spaces, licences); whole files are in one part only.
        assert len(shared) <= (0.01 * len(rows[1]) if name == "charlm" else 0)


def test_the_listing_needs_no_task_to_be_imported() -> None:
    tree = ast.parse(Path(builtin.__file__).read_text())
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "dataclasses", "importlib", "typing"}
    assert len(BUILT_IN) == 23 and not any(isinstance(node, ast.Import) for node in tree.body)


@pytest.mark.apart
def test_the_listings_metric_is_the_tasks() -> None:
    for name, listing in BUILT_IN.items():
        words = loaded(name).metric_name.replace("_", " ").replace("frechet", "Fréchet")
        assert listing.metric.startswith(words)


def test_the_documents_table_is_the_listing() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 5]
    assert rows == [
        f"| `{each.name}` | {each.about} | {each.metric} | {each.usual_time} |" for each in BUILT_IN.values()
    ]


def test_gradients_of_the_sparse_task_are_truly_sparse() -> None:
    task = loaded("sparse")
    model = task.build(0)
    batch = next(task.sources["train"].batches(0))
    task.compute_loss(model, batch).backward()
    gradients = [p.grad for p in model.parameters()]
    assert gradients and all(gradient is not None and gradient.is_sparse for gradient in gradients)
    assert max(gradient.coalesce().values().shape[0] for gradient in gradients if gradient is not None) < 1000
    assert task.sparse_gradients and not loaded("digits").sparse_gradients


@pytest.mark.apart
def test_a_comparison_leaves_out_what_refuses_sparse_gradients(tmp_path: Path) -> None:
    names = [entry.name for entry in resolve(None, loaded("sparse"))]
    assert "sparse_adam" in names and "sgd" in names and "adam" not in names
    assert "sparse_adam" not in [entry.name for entry in resolve(None, loaded("digits"))]
    for name in names:
        assert run(short("sparse"), name).done
    assert "does not support sparse gradients" in str(run(short("sparse"), "adam").message)
    table = torch.arange(4.0).repeat_interleave(8).long()[:, None]
    sparse = little.task(
        model=lambda: torch.nn.Sequential(torch.nn.Embedding(4, 4, sparse=True), torch.nn.Flatten()),
        train=(table, table[:, 0]),
        validation=(table, table[:, 0]),
        test=(table, table[:, 0]),
        epochs=1,
    )
    found = compare(sparse, "all", trials=1, finalist_seeds=2, on="alone", out=tmp_path)
    [note] = [line for line in found.notes if line.startswith("Left out, as they refuse the sparse gradients")]
    assert " adam," in note and "sgd" not in note.split(": ")[1].rstrip(".").split(", ")
    named = compare(sparse, ["sgd"], trials=1, finalist_seeds=2, on="alone", out=tmp_path / "named")
    assert not [line for line in named.notes if line.startswith("Left out")]


def test_the_critic_and_the_generator_each_learn_from_their_own_loss() -> None:
    """Against two backward passes, as it is done with an optimizer for each."""
    torch.manual_seed(0)
    pair, real = gan.Pair().eval(), torch.rand(32, 64)
    pair(real).backward()
    joint = {name: p.grad.clone() for name, p in pair.named_parameters() if p.grad is not None}
    made = pair.generator(pair.still[:32])
    binary = torch.nn.functional.binary_cross_entropy_with_logits
    yes, no = torch.ones(32, 1), torch.zeros(32, 1)
    critic = binary(pair.critic(real, True), yes) + binary(pair.critic(made, True), no)
    generator = binary(pair.critic(made, True), yes)
    for part, loss in ((pair.critic, critic), (pair.generator, generator)):
        names = {id(p): name for name, p in pair.named_parameters()}
        for p, gradient in zip(
            part.parameters(), torch.autograd.grad(loss, list(part.parameters()), retain_graph=True), strict=True
        ):
            assert torch.allclose(joint[names[id(p)]], gradient, atol=1e-6)
    assert pair(real).item() == pytest.approx(-critic.item(), rel=1e-6)


def test_the_frechet_distance_is_that_of_two_gaussians() -> None:
    generator = torch.Generator().manual_seed(0)
    real, made = (torch.randn(20_000, 64, generator=generator) for _ in "ab")
    distance = gan.FrechetDistance(real)
    assert distance.between(real, real).item() == pytest.approx(0, abs=1e-9)
    # Along each of 16 directions: (difference of means)^2 + (difference of deviations)^2.
    moved = 3 * made + 2 * distance.directions.sum(1).float()
    assert distance.between(real, moved).item() == pytest.approx(16 * (2**2 + 2**2), rel=0.03)


def test_moves_ahead_count_down_in_each_game() -> None:
    places = torch.tensor([0, 1, 2, 0, 2, 0])
    assert rl._moves_ahead(places).tolist() == [3, 1, 2, 2, 1, 1]


def test_a_policy_gradient_is_that_of_the_formula() -> None:
    pytest.importorskip("gymnasium")
    model, batch = rl.Policy(), (torch.arange(3),)
    torch.manual_seed(0)
    value = rl.loss(model, batch)
    torch.manual_seed(0)
    views, choices, places = rl.play(model, batch[0], by_chance=True)
    assert value.item() == pytest.approx(-len(views) / 3)
    assert views.shape == (len(choices), 4) and sorted(set(places.tolist())) == [0, 1, 2]
    likely = torch.where(choices, model(views), -model(views)).sigmoid().log()
    reward = torch.tensor([sum(0.99**k for k in range(int(n))) for n in rl._moves_ahead(places)])
    expected = torch.autograd.grad(-((reward - reward.mean()) / reward.std() * likely).mean(), list(model.parameters()))
    for p, gradient in zip(torch.autograd.grad(value, list(model.parameters())), expected, strict=True):
        assert torch.allclose(p, gradient, atol=1e-4)


def test_cartpole_without_gymnasium_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium.envs.classic_control", None)
    with pytest.raises(TaskError, match=re.escape("pip install thalweg[rl]")):
        load_task("rl")


def test_a_python_without_its_sources_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sources.sysconfig, "get_path", lambda name: str(tmp_path))
    sources.files.cache_clear()
    with pytest.raises(TaskError, match=r"needs the sources of Python's standard library; .* has 0 files"):
        load_task("charlm")
    sources.files.cache_clear()


def idx(array: torch.Tensor, magic: int | None = None) -> bytes:
    head = struct.pack(f">{1 + array.dim()}I", magic or 0x0800 + array.dim(), *array.shape)
    return head + array.numpy().tobytes()


def images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator, dtype=torch.uint8)
    pixels = torch.randint(60, (count, 6, 5), generator=generator, dtype=torch.uint8)
    pixels[torch.arange(count), labels.long()] += 190
    return pixels, labels


def write(folder: Path, packed: bool = False, **changes: bytes) -> Path:
    (train, train_labels), (test, test_labels) = images(120, 0), images(30, 1)
    files = {
        "train-images-idx3-ubyte": idx(train),
        "train-labels-idx1-ubyte": idx(train_labels),
        "t10k-images-idx3-ubyte": idx(test),
        "t10k-labels-idx1-ubyte": idx(test_labels),
    }
    for name, data in files.items():
        data = changes.get(name.split("-idx")[0].replace("-", "_"), data)
        dotted = name.replace("-idx", ".idx") if packed else name
        (folder / f"{dotted}.gz" if packed else folder / name).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_from_a_folder(packed: bool, tmp_path: Path) -> None:
    task = load_task(f"mnist:{write(tmp_path, packed)}")
    assert task.name == "mnist" and "120 and 30 images of 30 pixels" in task.about
    assert [task.sources[part].rows for part in ("train", "validation", "test")] == [100, 20, 30]
    pixels, labels = images(30, 1)
    shown, told = task.sources["test"].tensors  # type: ignore[attr-defined]
    assert torch.equal(told, labels.long())
    assert torch.allclose(
        shown * images(120, 0)[0].float().std() + images(120, 0)[0].float().mean(), pixels.flatten(1) * 1.0
    )
    assert run(replace(task, epochs=20)).metric > 0.9


TEN = images(10, 0)
WRONG: dict[str, dict[str, Any]] = {
    r"train-images-idx3-ubyte starts with 0x00000801; must be 0x00000803": {
        "train_images": idx(TEN[1], None) + bytes(8)
    },
    r"train-labels-idx1-ubyte starts with 0x00000d01; must be 0x00000801": {"train_labels": idx(TEN[1], 0x0D01)},
    r"t10k-images-idx3-ubyte holds 299 bytes; must be 10 x 6 x 5 = 300": {"t10k_images": idx(TEN[0])[:-1]},
    r"t10k-labels-idx1-ubyte has 3 bytes; must have a head of 8": {"t10k_labels": b"\0\0\x08"},
    r"has 30 test images and 10 labels; must be equal": {"t10k_labels": idx(TEN[1])},
    r"training and test images differ in size": {"t10k_images": idx(torch.zeros(30, 5, 5, dtype=torch.uint8))},
    r"cannot be read: ": {"t10k_images": gzip.compress(idx(TEN[0]))[:-20]},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_mnist_files(message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=message) as error:
        mnist.task(write(tmp_path, **WRONG[message]))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_missing_mnist_files(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"mnist: no folder .*; must hold train-images-idx3-ubyte, .*packed with gzip"):
        mnist.task(tmp_path / "none")
    (write(tmp_path) / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        TaskError, match=r"has no t10k-labels-idx1-ubyte; must be there, or as t10k-labels-idx1-ubyte.gz"
    ):
        mnist.task(tmp_path)


USERS_FILE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from thalweg.lab.task.task import Task

class Sequences(Dataset):
    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(count, 5, 2, generator=generator)
        self.y = (self.x.sum((1, 2)) > 0).long()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]

class Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(2, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])

task = Task(model=Last, loss=nn.CrossEntropyLoss(), metric="accuracy", epochs=1,
            train=DataLoader(Sequences(96, 0), 32, shuffle=True, num_workers=1),
            validation=Sequences(32, 1), test=Sequences(32, 2))
"""


@pytest.mark.apart
def test_a_users_file_with_an_lstm_and_a_loader_with_workers(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(USERS_FILE)
    compared = compare(f"{path}:task", ["adam", "sgd"], trials=1, finalist_seeds=2, out=tmp_path / "study")
    assert len(compared.trials) == 6 and all(trial.done for trial in compared.trials)
    assert "digit" not in str(compared) and "mine" in str(compared)
    assert all(trial.curve.steps == [3] for trial in compared.trials)


def embedding(dense: bool) -> Any:
    layers = [torch.nn.Embedding(4, 4, sparse=True), torch.nn.Flatten(), *([torch.nn.Linear(4, 4)] * dense)]
    rows = torch.randint(0, 4, (32, 1), generator=torch.Generator().manual_seed(0))
    return little.task(
        model=lambda: torch.nn.Sequential(*layers),
        train=(rows, rows[:, 0]),
        validation=(rows, rows[:, 0]),
        test=(rows, rows[:, 0]),
    )


@pytest.mark.parametrize("verb", [compare, sweep, tune, range_test])
@pytest.mark.parametrize(
    "task, name, reason",
    [
        (embedding(False), "adam", "refuses sparse gradients; .*: sgd, .*sparse_adam"),
        (embedding(False), torch.optim.Adam, "refuses sparse gradients"),
        (embedding(True), "sparse_adam", "takes sparse gradients alone"),
        (little.task(), "sparse_adam", "takes sparse gradients alone"),
        (little.task(), torch.optim.SparseAdam, "takes sparse gradients alone"),
        (little.task(), "muon", "matrices"),
    ],
)
def test_an_optimizer_that_refuses_the_task_is_refused_before_anything_is_trained(
    verb: Any, task: Any, name: Any, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=f"optimizers: cannot step this task's model: .*{reason}"):
        verb(task, [name], out=tmp_path / "study", on="alone")
    assert not (tmp_path / "study").exists()
