"""What fails from outside is tried again, and never counted against a configuration."""

from __future__ import annotations

import warnings
from dataclasses import replace

import little
import pytest
import torch

import thalweg
from thalweg.engines import reference
from thalweg.lab.results import read
from thalweg.lab.search.configurations import candidates_of
from thalweg.lab.study.records import read_trials
from thalweg.lab.training.failure import failure, from_outside
from thalweg.lab.training.trial import Status

SPACE = "[Errno 28] No space left on device"


class Fragile(torch.optim.Adam):
    """Raises OSError at lr 0.01, a number of times."""

    left = 0

    def step(self, closure=None):
        if Fragile.left and self.param_groups[0]["lr"] == 0.01:
            Fragile.left -= 1
            raise OSError(28, "No space left on device")
        return super().step(closure)


def studied(tmp_path, times):
    Fragile.left, said = times, []
    result = thalweg.sweep(
        little.task(), Fragile, lr=(1e-3, 1e-1), points=3, closer=0, seeds=2, extend=False, epochs=1, on="alone",
        out=tmp_path / "study", progress=lambda now: said.append(now.said),
    )  # fmt: skip
    return result, [text for text in said if text]


def test_one_oserror_is_tried_again_and_shown(tmp_path):
    result, said = studied(tmp_path, 1)
    assert all(trial.done for trial in result.trials)
    [line] = said
    assert "tried again: test_interrupted.Fragile at lr 0.01, seed 0: OSError: " + SPACE in line
    assert result.rows[0].failed_share == 0


def test_a_lasting_one_is_written_down_and_not_counted(tmp_path):
    result, said = studied(tmp_path, 5)  # of two runs, one has no try left
    [trial] = [trial for trial in result.trials if not trial.done]
    assert trial.status is Status.INTERRUPTED and SPACE in trial.message
    assert len(said) == 4
    assert result.rows[0].failed_share == 0 and "failing" not in result.verdict
    assert any("was interrupted" in note for note in result.notes)


def test_the_next_command_tries_it_once_more(tmp_path):
    studied(tmp_path, 5)
    result, _ = studied(tmp_path, 0)
    assert all(trial.done for trial in result.trials) and len(result.trials) == 6
    assert len((tmp_path / "study" / "trials.jsonl").read_text().splitlines()) == 7
    assert all(trial.done for trial in read_trials(tmp_path / "study" / "trials.jsonl").values())
    assert read(tmp_path / "study").verdict == result.verdict


@pytest.mark.parametrize("error", [OSError(28, "x"), ConnectionResetError("x"), TimeoutError("x"), BrokenPipeError()])
def test_which_are_from_outside(error):
    assert failure(error)[0] is Status.INTERRUPTED
    assert from_outside(type(error).__name__)


@pytest.mark.parametrize(
    "error", [ValueError("x"), RuntimeError("connection"), KeyError("OSError"), FileNotFoundError("no/such/data")]
)
def test_which_are_not(error):
    assert failure(error)[0] is Status.CRASHED
    assert not from_outside(type(error).__name__)


@pytest.mark.apart
def test_a_setting_keeps_its_other_seeds(results):
    first, *rest = [trial for trial in results["compare"].trials if trial.phase == "search" and trial.done][:3]
    alike = [replace(trial, index=1, seed=seed) for seed, trial in enumerate(rest)]
    lost = replace(first, index=1, seed=9, status=Status.INTERRUPTED)
    [candidate] = candidates_of([lost, *alike])
    assert candidate.failed == 0 and len(candidate.trials) == 2
    [alone] = candidates_of([lost])
    assert alone.failed == 0 and alone.metric != alone.metric


def test_ctrl_c_within_a_step_is_told_to_who_goes_on_with_the_parameters_alone(tmp_path, monkeypatch):
    """In the lab the run is thrown away: that some of its tensors took the step helps nobody."""
    equations, calls = reference.equations, []

    def stopped_at_the_second(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return equations(*given)

    monkeypatch.setattr(reference, "equations", stopped_at_the_second)
    with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
        warnings.simplefilter("error")
        thalweg.compare(little.task(), "sgd(engine='reference')", trials=2, on="alone", out=tmp_path / "study")
    assert len(calls) == 2
    calls.clear()
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    optimizer = thalweg.optim.SGD(params, lr=0.1, engine="reference")
    for p in params:
        p.grad = torch.ones(2)
    with pytest.warns(RuntimeWarning, match="KeyboardInterrupt cut a step short"), pytest.raises(KeyboardInterrupt):
        optimizer.step()


def test_a_tuning_of_which_no_run_ended_has_no_answer_and_no_line(tmp_path):
    def full(run):
        raise OSError(28, "No space left on device")

    found = thalweg.tune(full, "sgd", direction="min", trials=2, finalists=1, finalist_seeds=2, retries=0, on="alone",
                         out=tmp_path / "study")  # fmt: skip
    assert found.verdict == f"No answer for sgd on full: no run on a fresh seed ended; OSError: {SPACE}."
    assert found.line == ""


def test_an_undecided_tuning_that_looks_worse_gives_the_default(tmp_path):
    def better_by_default(run):
        [group] = run.optimizer(torch.nn.Linear(2, 1)).param_groups
        search = run.seed < 2
        return abs(group["lr"] - 1e-3) * (-1 if search else 1) + 0.5 * (run.seed % 2) * (group["lr"] != 1e-3) + 2

    found = thalweg.tune(better_by_default, "sgd", direction="min", trials=2, finalists=1, finalist_seeds=2, on="alone",
                         out=tmp_path / "study")  # fmt: skip
    assert found.judgement.verdict == "undecided" and found.judgement.difference.mean < 0
    assert found.line == "thalweg.optim.SGD(model.parameters(), lr=0.001, weight_decay=0.0)"
