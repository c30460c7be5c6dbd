"""A recommended learning rate keeps a margin from where runs fail, by the chance that a fresh seed fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import thalweg
from thalweg.catalogue import Entry
from thalweg.lab.judging.cliff import SAFE, failure_chances, recommended
from thalweg.lab.search.configurations import Candidate
from thalweg.lab.training.job import Job
from thalweg.lab.training.loop import run_trial
from thalweg.lab.training.trial import Configuration, Curve, Outcome, Status, Trial


def candidate(index, rate, metric, failed=0, seeds=3):
    trials = []
    for seed in range(seeds):
        status = Status.DIVERGED if seed < failed else Status.DONE
        job = Job("x", "search", index, Entry.of("sgd"), Configuration("sgd", {"lr": rate}, seed), 1)
        curve = Curve([1], [metric], [metric], [metric])
        trials.append(Trial.of(job, status, None, curve, Outcome(), 0.0, 0.0))
    return Candidate(index, tuple(trials))


def grid(failures, seeds=3, low=-3.0, step=0.25):
    """Each rate is better than the last; so many of its seeds failed."""
    return [candidate(i, 10 ** (low + step * i), 1.0 - 0.01 * i, k, seeds) for i, k in enumerate(failures)]


def test_without_failures_the_best_is_recommended():
    candidates = grid([0] * 8)
    assert failure_chances(candidates) == {}
    assert recommended(candidates, False)[0] is candidates[-1]


def test_a_clean_rate_beside_a_cliff_is_not():
    candidates = grid([0] * 8 + [2, 3, 3], seeds=3)
    kept, chance = recommended(candidates, False)
    assert kept.rate < candidates[7].rate and chance <= SAFE
    chances = failure_chances(candidates)
    assert chances[0] < chances[7] < chances[8] < chances[10]
    assert kept.index >= 4  # a margin, no retreat


def test_many_seeds_are_a_proof_where_few_are_none():
    few, many = grid([0] * 8 + [3], seeds=3), grid([0] * 8 + [60], seeds=60)
    assert failure_chances(many)[7] < failure_chances(few)[7] / 2


def test_one_crash_far_below_is_no_cliff():
    kept, _ = recommended(grid([0, 1, 0, 0, 0, 0, 0, 0, 0, 0], seeds=3), False)
    assert kept.index >= 8


@pytest.mark.apart
def test_chances_are_those_of_fresh_seeds():
    """Simulated: what is recommended fails, on average, no oftener than is safe."""
    draw, failed = np.random.default_rng(0), []
    for _ in range(60):
        cliff, slope = draw.uniform(-2.0, -0.5), draw.choice([3.0, 8.0, 30.0])

        def chance(rate, cliff=cliff, slope=slope):
            return 1 / (1 + math.exp(-slope * (math.log10(rate) - cliff)))

        rates = [10 ** (-4 + 0.25 * place) for place in range(16)]
        drawn = [candidate(i, rate, 1 - 0.01 * i, draw.binomial(2, chance(rate)), 2) for i, rate in enumerate(rates)]
        failed.append(chance(recommended(drawn, False)[0].rate))
    assert np.mean(failed) <= SAFE


@pytest.mark.apart
def test_a_loss_with_a_pole_is_recommended_a_rate_that_holds(tmp_path):
    """`log(o + 1)`: the best rate of a sweep on two seeds failed on 10 of 40 fresh ones."""
    x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
    y = torch.relu(x.sum(1, keepdim=True))

    def loss(output, target):
        return ((torch.log(output + 1) - torch.log(target + 1)) ** 2).mean()

    class Positive(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 1)
            nn.init.normal_(self.inner.weight, std=0.05)
            nn.init.constant_(self.inner.bias, 0.5)

        def forward(self, inputs):
            return self.inner(0.5 * inputs.clamp(-1, 1))

    task = thalweg.Task(model=Positive, loss=loss, train=(x, y), epochs=3, batch_size=16, name="pole")
    found = thalweg.sweep(task, "sgd", lr=(1e-3, 10), seeds=2, points=13, extend=False, on="alone", out=tmp_path)
    [row] = found.rows
    assert not math.isnan(row.fails_from)  # there is a cliff
    entry, rate = Entry.of("sgd"), row.recommended.rate
    fresh = [
        run_trial(task, Job("x", "search", 0, entry, Configuration("sgd", {"lr": rate}, seed), 3))
        for seed in range(2000, 2040)
    ]
    assert sum(not trial.done for trial in fresh) <= 1, (rate, row.best.rate)
    assert f"lr={rate}" in found.line
    if row.recommended.index != row.best.index:
        assert "keeps a margin" in found.verdict


@pytest.mark.parametrize("failed", [1, 3])
def test_where_all_fail_nothing_is_made_up(failed):
    kept, chance = recommended(grid([failed] * 5, seeds=3), False)
    assert kept.index in range(5) and chance > SAFE
