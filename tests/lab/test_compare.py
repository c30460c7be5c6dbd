"""The whole comparison on a small task: fair, resumable, honest about failures, and written down."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import little
import pytest
import quadratic
import torch
from torch import nn
from torch.utils.data import Dataset

from thalweg.lab.errors import LabError, StudyError
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.results import Comparison
from thalweg.lab.study.campaign import Progress
from thalweg.lab.verbs.compare import compare

TWO = ["sgd", torch.optim.Adam]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(little.task(), TWO, out=tmp_path_factory.mktemp("study"), on="alone")


def test_equal_budgets_the_default_first_fresh_seeds_last(found: Comparison) -> None:
    for name, default in (("sgd", 1e-3), ("torch.Adam", 1e-3)):
        mine = [t for t in found.trials if t.optimizer == name]
        search, final = ([t for t in mine if t.phase == phase] for phase in ("search", "final"))
        assert [t.index for t in search] == list(range(8)) and search[0].settings == {"lr": default}
        assert len({t.settings["lr"] for t in search}) == 8
        assert [t.seed for t in search] == [0] * 8
        assert [t.seed for t in final] == [FRESH + k for k in range(5)]


def test_the_best_setting_on_validation_goes_on(found: Comparison) -> None:
    for row in found.rows:
        best = max(candidate.metric for candidate in row.candidates if not candidate.failed)
        chosen = next(candidate for candidate in row.candidates if candidate.settings == row.settings)
        assert chosen.metric == best


def test_the_test_set_is_read_by_finalists_only(found: Comparison) -> None:
    assert all((t.test_metric is not None) == (t.phase == "final") for t in found.trials)


class Sealed(Dataset[Any]):
    """Test data that may not be touched until the search is over."""

    search_over = False
    reads = 0

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        assert self.search_over, "the test set was read during the search"
        Sealed.reads += 1
        candidates, labels = little.rows(64, 2)
        return candidates[index], labels[index]


def test_selection_never_reads_the_test_set(tmp_path: Path) -> None:
    data = Sealed()

    def unseal(now: Progress) -> None:
        if now.done == 16:  # both optimizers' searches
            data.search_over = True

    result = compare(little.task(test=data), TWO, out=tmp_path, progress=unseal)
    assert all(trial.done for trial in result.trials), [t.message for t in result.trials]
    assert Sealed.reads == 64 * (10 + 4)  # once for each finalist and seed, then by what nothing was learned by


def test_the_same_call_again_trains_nothing_and_finds_the_same(found: Comparison) -> None:
    ticks: list[Progress] = []
    again = compare(little.task(), TWO, out=found.folder, progress=ticks.append)
    assert len(ticks) == 1 and ticks[0].found == ticks[0].total == 26
    assert again.trials == found.trials
    assert str(again) == str(found) and again.notes == found.notes


def test_two_studies_agree_to_the_bit(found: Comparison, tmp_path: Path) -> None:
    other = compare(little.task(), TWO, out=tmp_path, on="alone")
    assert (tmp_path / "table.csv").read_bytes() == (found.folder / "table.csv").read_bytes()
    assert [t.curve for t in other.trials] == [t.curve for t in found.trials]


def test_changed_settings_are_refused(found: Comparison) -> None:
    with pytest.raises(StudyError, match=r"protocol\.trials: 8 -> 9"):
        compare(little.task(), TWO, out=found.folder, trials=9)
    with pytest.raises(StudyError, match=r"task\.epochs: 3 -> 4"):
        compare(little.task(), TWO, out=found.folder, epochs=4)
    with pytest.raises(StudyError, match="the task's data changed"):
        compare(little.task(train=little.rows(128, 9)), TWO, out=found.folder)
    with pytest.raises(StudyError, match=r"it compares sgd, torch.Adam; you ask for sgd, torch.Adam, adam"):
        compare(little.task(), [*TWO, "adam"], out=found.folder)


@pytest.mark.apart
def test_more_fresh_seeds_add_only_those(tmp_path: Path) -> None:
    first = compare(little.task(), ["sgd"], out=tmp_path, trials=2, finalist_seeds=3)
    more = compare(little.task(), ["sgd"], out=tmp_path, trials=2, finalist_seeds=5)
    assert more.trials[: len(first.trials)] == first.trials
    assert len(more.trials) == len(first.trials) + 2 and len(more.rows[0].finals) == 5


class Crash(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no such kernel")


class Explode(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.mul_(math.nan)
        return loss


def test_failures_stay_in_the_table_and_come_last(tmp_path: Path) -> None:
    result = compare(little.task(), [Crash, Explode, "sgd"], out=tmp_path, trials=5, finalist_seeds=3)
    assert result.rows[0].optimizer == "sgd" and len(result.table) == 3
    crashed, exploded = (next(r for r in result.table if name in r["optimizer"]) for name in ("Crash", "Explode"))
    for row in (crashed, exploded):
        assert row["diverged_share"] == 1.0 and row["fresh_seeds_failed"] == 3 and math.isnan(row["test"])
        assert row["verdict"] == "failed on 3 of 3 fresh seeds" and row["steps_to_target"] == math.inf
    assert {t.status for t in result.trials if "Crash" in t.optimizer} == {"crashed"}
    assert "no such kernel" in " ".join(result.notes)
    assert "failed on a fresh seed" in result.verdict
    assert len(result.to_pandas()) == 3


def test_all_failed_is_said(tmp_path: Path) -> None:
    result = compare(little.task(), [Crash, Explode], out=tmp_path, trials=5)
    assert result.verdict == "No answer for little: every optimizer diverged or crashed on every fresh seed."
    assert "<html" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("numbers", [{"finalist_seeds": 1}, {"trials": 1}, {"seeds": 2, "finalists": 2}])
def test_small_and_other_budgets(tmp_path: Path, numbers: dict[str, int]) -> None:
    result = compare(little.task(), TWO, out=tmp_path, **{"trials": 3, **numbers})
    if "finalist_seeds" in numbers:
        assert "one seed cannot tell" in result.verdict and math.isnan(result.table[1]["test_low"])
    price = numbers.get("trials", 3) * numbers.get("seeds", 1)
    price += numbers.get("finalists", 1) * numbers.get("finalist_seeds", 5)
    assert len([t for t in result.trials if t.optimizer == "sgd"]) == price


def test_a_metric_where_less_is_better(tmp_path: Path) -> None:
    result = compare(little.task(metric="loss"), TWO, out=tmp_path, trials=5, finalist_seeds=3)
    means = [row.validation.mean for row in result.rows]
    assert means == sorted(means)
    assert (result.rows[1].test.mean - result.rows[0].test.mean) == pytest.approx(-result.table[1]["difference"])


def test_ties_are_worded(tmp_path: Path) -> None:
    constant = little.task(metric=lambda output, target: 0.5, direction="max")
    result = compare(constant, TWO, out=tmp_path, trials=2)
    assert result.table[1]["verdict"] == "equal on every seed"
    assert result.table[1]["difference"] == 0.0


def test_a_task_in_python_with_loss_of_model_and_batch(tmp_path: Path) -> None:
    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return ((model(batch[0])[:, 0] - batch[1]) ** 2).mean()

    result = compare(little.task(loss=loss, metric="loss"), ["sgd"], out=tmp_path, trials=2)
    assert result.verdict.startswith("sgd at lr") and "is the only one tried" in result.verdict


def test_wrong_arguments() -> None:
    for optimizers, message in (
        (["nope"], "nope"),
        ([], "must name at least one"),
        (["sgd", "sgd"], "named twice"),
    ):
        with pytest.raises(LabError, match=message):
            compare(little.task(), optimizers)
    with pytest.raises(LabError, match="epochs: got 0"):
        compare(little.task(), ["sgd"], epochs=0)


def test_the_line_can_be_pasted(found: Comparison) -> None:
    model = little.network()
    row = next(row for row in found.table if row["optimizer"] == "sgd")
    optimizer = eval(row["line"], {"thalweg": __import__("thalweg.optim"), "model": model})
    assert optimizer.param_groups[0]["lr"] == row["lr"]


def test_the_callers_threads_and_state_stay(tmp_path: Path) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    compare(little.task(), ["sgd"], out=tmp_path, trials=1)
    assert torch.equal(state, torch.get_rng_state()) and threads == torch.get_num_threads()


def test_the_folder(found: Comparison) -> None:
    names = {path.name for path in found.folder.iterdir()}
    assert names == {
        "lock",
        "spec.json",
        "versions.json",
        "trials.jsonl",
        "table.csv",
        "result.json",
        "report.html",
    }
    spec, versions = (json.loads((found.folder / f"{name}.json").read_text()) for name in ("spec", "versions"))
    assert spec["optimizers"]["sgd"]["lr"]["default"] == 1e-3 and spec["task"]["identity"]
    assert torch.__version__.startswith(versions["torch"]) and versions["threads"]["threads"] >= 1


def test_a_result_shows_itself(found: Comparison) -> None:
    assert found.verdict in str(found) and found.line in str(found)
    assert "sgd" in repr(found)
    assert list(found.to_pandas()["optimizer"]) == [row.optimizer for row in found.rows]


def test_by_default_the_usual_dozen_is_compared() -> None:
    from thalweg.lab.study.optimizers import USUAL, resolve

    assert [entry.name for entry in resolve(None)] == list(USUAL) and len(USUAL) == 12


@pytest.mark.parametrize("words", ["all", ["all"]])
def test_all_are_those_that_take_dense_gradients(words: Any) -> None:
    from thalweg.catalogue import CATALOGUE
    from thalweg.lab.study.optimizers import resolve

    names = [entry.name for entry in resolve(words)]
    beside = {"sparse_adam", "muon"}  # these take some parameters alone
    assert not beside & {*names} and {*names} | beside == CATALOGUE.keys()
    assert [entry.name for entry in resolve(["sparse_adam"])] == ["sparse_adam"]


@pytest.mark.apart
def test_further_knobs_are_tuned_together_with_the_learning_rate(tmp_path: Path) -> None:
    found = compare(
        little.task(), ["adam", "momentum", "sgd"], trials=13, hyperparameters="lr,beta1,eps", epochs=1, out=tmp_path
    )
    tried = {row.optimizer: [candidate.settings for candidate in row.candidates] for row in found.rows}
    assert tried["adam"][0] == {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
    assert tried["momentum"][0] == {"lr": 1e-3, "momentum": 0.9} and tried["sgd"][0] == {"lr": 1e-3}
    for settings in tried["adam"][1:]:
        assert (
            0.5 <= settings["betas"][0] <= 0.98 and settings["betas"][1] == 0.999 and 1e-10 <= settings["eps"] <= 1e-4
        )
    assert len({s["betas"][0] for s in tried["adam"]}) > 8
    # the learning rates are those of a search of lr alone, and the same within a family
    alone = compare(little.task(), ["momentum", "sgd"], trials=13, epochs=1, out=tmp_path / "alone")
    rates = {row.optimizer: [candidate.rate for candidate in row.candidates][:11] for row in alone.rows}
    assert rates["momentum"] == rates["sgd"] == [s["lr"] for s in tried["momentum"]][:11]
    assert [s["lr"] for s in tried["sgd"]] == [
        candidate.rate for row in alone.rows if row.optimizer == "sgd" for candidate in row.candidates
    ]
    # the second look moves lr alone
    best = max(
        (p for row in found.rows if row.optimizer == "adam" for p in row.candidates[:11]),
        key=lambda p: (p.metric, -p.loss),
    )
    assert all({**s, "lr": 0} == {**best.settings, "lr": 0} for s in tried["adam"][11:])
    assert "Tuned beside the learning rate, where an optimizer has them: beta1, eps." in found.notes[0]
    assert "betas=(" in found.lines["adam"]
    with pytest.raises(LabError, match="hyperparameters: got 'beta1'; must be lr, and any of beta1"):
        compare(little.task(), ["adam"], hyperparameters="beta1", out=tmp_path / "no")


class Ravine(quadratic.Bowl):
    """Eight curvatures from 1 to 100: gradient descent's best rate is 2 / 101, and 0.02 diverges."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(8))

    def forward(self) -> torch.Tensor:
        return 0.5 * (torch.logspace(0, 2, 8) * self.place**2).sum()


@pytest.mark.apart
def test_a_quick_look_finds_gradient_descents_rate(tmp_path: Path) -> None:
    """Of a dozen rates over four decades one is near; two looks at once left 0.0084, where 0.0196 is best."""
    task = quadratic.task(model=Ravine, train=(torch.zeros(60, 1),), name="ravine")
    found = compare(task, ["sgd"], "quick", finalist_seeds=2, on="alone", out=tmp_path / "study")
    assert 0.0196 / 1.5 < found.rows[0].settings["lr"] < 0.0196 * 1.5
