"""What is known of each task from elsewhere: a task that does not show it is another task."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from thalweg.catalogue import CATALOGUE
from thalweg.lab.task.builtin import mnist1d, noisy_labels, photograph, rare_classes, recall, speech, tabular
from thalweg.lab.task.load import load_task
from thalweg.lab.task.task import Task
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Trial


def train(task: Task, lr: float, optimizer: str = "adam", seed: int = 0, epochs: int | None = None) -> Trial:
    task = replace(task, epochs=epochs or task.epochs)
    setting = Configuration(optimizer, {"lr": lr}, seed)
    found = run_trial(task, Job("x", "final", 0, CATALOGUE[optimizer], setting, task.epochs))
    assert found.done, found.message
    return found


@pytest.mark.apart
@pytest.mark.parametrize(
    ("name", "lr", "epochs", "published"),
    [
        ("mnist1d-logistic", 1e-2, 10, (0.31, 0.32)),
        ("mnist1d", 1e-2, 30, (0.68, 0.695)),
        ("mnist1d-cnn", 4e-2, 20, (0.926, 0.94)),
    ],
)
def test_one_dimensional_digits_are_as_hard_as_published(
    name: str, lr: float, epochs: int, published: tuple[float, float]
) -> None:
    """Table 1 of Greydanus and Kobak (2020), and what the authors' package gives: within two points."""
    task = load_task(name)
    found = [train(task, lr, seed=seed, epochs=epochs) for seed in range(1 if name == "mnist1d-cnn" else 2)]
    values = [value for trial in found for value in (trial.metric, trial.test_metric or 0)]
    assert published[0] - 0.02 <= np.mean(values) <= published[1] + 0.02


def test_a_row_of_a_one_dimensional_digit_without_chance_is_its_outline() -> None:
    """Nothing drawn: no noise, no tilt, no scale, and the shortest blank (36) fixed: twelve points of 48, at 40."""

    class Still:
        def random(self, size: tuple[int, ...]) -> np.ndarray:
            return np.full(size, 0.5)

        def integers(self, low: int, high: int | None = None, size: tuple[int, ...] = ()) -> np.ndarray:
            return np.full(size, 0 if high is None else low)

        def standard_normal(self, size: tuple[int, ...]) -> np.ndarray:
            return np.zeros(size)

    Still.integers = lambda self, low, high=None, size=(): np.full(  # type: ignore[method-assign, assignment]
        high if isinstance(high, tuple) else size, low if high is not None else 0
    )
    found = mnist1d.rows(np.arange(10), Still())
    for row, heights in zip(found, mnist1d.OUTLINES, strict=True):
        outline = np.asarray(heights) - heights[0]
        outline = np.concatenate([outline / np.std(heights) / 6, np.zeros(36)])
        canvas = np.interp(np.linspace(0, 47, 72), np.arange(48), outline)
        assert np.allclose(row, np.interp(np.linspace(0, 71, 40), np.arange(72), canvas), atol=1e-12)


@pytest.mark.apart
def test_parts_of_the_new_tasks_do_not_share_rows() -> None:
    for name in ("mnist1d", "speech", "rare-classes", "diabetes", "breast-cancer", "photograph"):
        parts = [load_task(name).sources[part].tensors[0] for part in ("train", "validation", "test")]  # type: ignore[attr-defined]
        rows = [{tuple(row.flatten().tolist()) for row in part} for part in parts]
        assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2], name


def test_gradient_descent_leaves_rare_classes_behind_and_adam_does_not() -> None:
    """Kunstner et al. (2024), figure 1; gradient descent at the highest rates that are stable (30 diverges)."""
    task = rare_classes.task()
    counts = torch.bincount(task.train[1])
    assert counts.max() == 256 * counts.min() and counts.numel() == rare_classes.CLASSES
    start = math.log(rare_classes.CLASSES)
    descent = min(train(task, lr, "sgd").metric for lr in (3.0, 10.0))
    assert descent > 0.3 * start
    assert train(task, 0.1).metric < 0.02 * start


def test_the_loss_by_group_is_that_of_each_groups_rows() -> None:
    target = torch.tensor([0, 1, 2, *range(3, 7), *range(7, 511, 7), 510])
    output = torch.randn(len(target), rare_classes.CLASSES, generator=torch.Generator().manual_seed(0))
    found = rare_classes.loss_by_group(output, target)
    losses = [-output[row].log_softmax(0)[label].item() for row, label in enumerate(target.tolist())]
    for group in range(rare_classes.GROUPS):
        own = [loss for loss, label in zip(losses, target.tolist(), strict=True) if int(math.log2(label + 1)) == group]
        assert found[group].item() == pytest.approx(np.mean(own), rel=1e-5)


def test_wrong_labels_are_learned_after_the_right_ones() -> None:
    """Arpit et al. (2017): accuracy on clean rows rises, and falls again."""
    task = noisy_labels.task()
    clean = load_task("digits").train[1]
    wrong = (task.train[1] != clean).double().mean().item()
    assert wrong == pytest.approx(0.4 * 0.9, abs=0.03)
    curve = train(task, 3e-3).curve.validation_metric
    assert max(curve[:10]) > 0.9 and curve[-1] < max(curve[:10]) - 0.05


def test_on_diabetes_a_perceptron_is_about_as_good_as_least_squares() -> None:
    task = tabular.diabetes()
    (x, y), (there, told) = task.train, task.test
    design = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    line = torch.linalg.lstsq(design, y.double()).solution
    squares = torch.cat([there, torch.ones(len(there), 1)], 1).double() @ line
    assert train(task, 1e-3).test_metric == pytest.approx(tabular.rmse(squares, told).item(), rel=0.1)


def test_on_tumours_a_perceptron_reaches_what_linear_models_do() -> None:
    """95 to 98 % in the literature since Street et al. (1993)."""
    assert (train(tabular.breast_cancer(), 3e-3).test_metric or 0) >= 0.94


@pytest.mark.apart
def test_the_best_guess_without_memory_has_the_loss_of_the_formula() -> None:
    """And training leaves that plateau (Arjovsky et al. 2016)."""
    task = recall.task()
    _, told = task.validation
    scores = torch.full((*told.shape, recall.SYMBOLS + 1), -40.0)
    scores[:, : -recall.COPIED, recall.BLANK] = 0
    scores[:, -recall.COPIED :, : recall.SYMBOLS] = 0
    assert recall.loss(scores, told).item() == pytest.approx(recall.MEMORYLESS, rel=1e-5)
    found = train(task, 1e-2)
    assert found.curve.validation_loss[0] > 0.9 * recall.MEMORYLESS > 5 * found.loss and found.metric < 0.05


@pytest.mark.apart
def test_a_perceptron_of_places_leaves_the_photograph_blurred() -> None:
    """Tancik et al. (2020): waves of places make it sharper, on pixels that were not trained on."""
    task = photograph.task()
    with_waves, without = train(task, 5e-3).metric, train(photograph.without_waves(), 5e-3).metric
    mean = task.train[1].mean(0).expand_as(task.validation[1])
    assert with_waves > without + 0.5 > photograph.peak_signal_to_noise(mean, task.validation[1]).item() + 3


@pytest.mark.parametrize("phone", [0, 2, 4])
def test_a_vowels_loudest_band_is_near_its_first_formant(phone: int) -> None:
    sound = speech.speak(speech.PHONES[phone], 4000, 100.0, 1.0, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(sound * np.hanning(4000))) ** 2
    loudest = np.argmax(power) * speech.RATE / 4000
    assert loudest == pytest.approx(speech.PHONES[phone].formants[0], abs=100)


@pytest.mark.parametrize(
    ("found", "told", "distance"),
    [
        ([], [], 0),
        ([1], [], 1),
        ([], [1, 2], 2),
        ([1, 2, 3], [1, 3], 1),
        ([1, 2], [2, 1], 2),
        ([3, 1, 2], [1, 2, 4], 2),
    ],
)
def test_the_distance_of_phones_is_the_fewest_edits(found: list[int], told: list[int], distance: int) -> None:
    assert speech.distance(found, told) == distance


def test_decoding_joins_repetitions_and_leaves_silence_out() -> None:
    none = len(speech.PHONES)
    best = torch.tensor([[none, 1, 1, none, 1, 2, 2, none]])
    output = torch.nn.functional.one_hot(best, none + 1).float()
    assert speech.decode(output) == [[1, 1, 2]]
    told = torch.tensor([[1, 2, 2, speech.PAD, speech.PAD, speech.PAD]])
    assert speech.phone_error_rate(output, told) == pytest.approx(1 / 3)


def test_ctc_is_the_sum_over_all_alignments() -> None:
    """By trying all of them, on a few moments."""
    torch.manual_seed(0)
    classes, moments, told = 3, 4, [0, 1]
    output = torch.randn(1, moments, classes).log_softmax(-1)
    likely = 0.0
    for path in itertools.product(range(classes), repeat=moments):
        [said] = speech.decode(torch.nn.functional.one_hot(torch.tensor([path]), classes).float())
        if said == told:
            likely += math.exp(sum(output[0, moment, one].item() for moment, one in enumerate(path)))
    target = torch.tensor([[*told, speech.PAD]])
    assert speech.loss(output, target).item() * len(told) == pytest.approx(-math.log(likely), rel=1e-5)


@pytest.mark.apart
def test_speech_begins_with_silence_and_is_then_understood() -> None:
    """A network trained with CTC says nothing at first (Graves et al. 2006 and since): every phone is missed."""
    curve = train(speech.task(), 1e-2).curve.validation_metric
    assert curve[0] > 0.8 and curve[-1] < 0.25
