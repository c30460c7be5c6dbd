"""Random numbers by key: the same whenever asked for, unrelated between keys, and with the right statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from thalweg.lab.random.bits import bits_by_torch, fill_bits, fill_mask, keys_of
from thalweg.lab.random.keyed import Keyed
from thalweg.lab.random.streams import Stream

CPU = torch.device("cpu")
X = torch.randn(50, 40, 5, generator=torch.Generator().manual_seed(0))
POSITIVE = torch.rand(2000, generator=torch.Generator().manual_seed(0))


LAYER = nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True)
WORDS = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1))


def attention(**named: Any) -> torch.Tensor:
    mixed: torch.Tensor = LAYER(WORDS, WORDS, WORDS, **named)[0]
    return mixed.detach()


DRAWN: dict[str, Callable[[], torch.Tensor]] = {
    "dropout": lambda: F.dropout(X, 0.3),
    "in place": lambda: nn.Dropout(0.3, inplace=True)(X.clone()),
    "torch.dropout": lambda: torch.dropout(X, 0.3, True),
    "dropout1d": lambda: F.dropout1d(X, 0.3),
    "dropout2d": lambda: nn.Dropout2d(0.3)(X.unsqueeze(-1)),
    "dropout3d": lambda: F.dropout3d(X[..., None, None], 0.3),
    "alpha": lambda: nn.AlphaDropout(0.3)(X),
    "alpha by feature": lambda: nn.FeatureAlphaDropout(0.3)(X),
    "attention": lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=0.5, is_causal=True),
    "multi-head": lambda: attention(),
    "multi-head, no weights": lambda: attention(need_weights=False),
    "gumbel": lambda: F.gumbel_softmax(X[0]),
    "rand": lambda: torch.rand(30, 70),
    "rand of a tuple": lambda: torch.rand((30, 70)),
    "randn": lambda: torch.randn(2000),
    "rand_like": lambda: torch.rand_like(X),
    "randn_like": lambda: torch.randn_like(X),
    "randint": lambda: torch.randint(3, 900, (2000,)),
    "randint by name": lambda: torch.randint(high=900, size=(2000,)),
    "randint_like": lambda: torch.randint_like(X, 5, 900),
    "randperm": lambda: torch.randperm(2000),
    "bernoulli": lambda: torch.bernoulli(POSITIVE),
    "bernoulli_": lambda: torch.empty(2000).bernoulli_(0.3),
    "normal": lambda: torch.normal(torch.zeros(2000), 2.0),
    "normal_": lambda: torch.empty(2000).normal_(1.0, 2.0),
    "uniform_": lambda: torch.empty(2000).uniform_(-1, 1),
    "exponential_": lambda: torch.empty(2000).exponential_(2.0),
}


def run(draw: Callable[[], torch.Tensor], root: int = 7, step: int = 3) -> torch.Tensor:
    with Keyed(Stream(root)).at(step):
        return draw()


@pytest.mark.parametrize("name", DRAWN)
def test_numbers_depend_on_the_seed_the_step_and_the_call_alone(name: str) -> None:
    draw = DRAWN[name]
    found = run(draw)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert torch.equal(run(draw), found)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(run(draw, step=4), found)
    assert not torch.equal(run(draw, root=8), found)
    first, second = run(lambda: torch.stack([draw(), draw()]))
    assert torch.equal(first, found) and not torch.equal(second, found)


@pytest.mark.parametrize("name", [name for name in DRAWN if name != "randperm"])
def test_they_are_distributed_as_torchs(name: str) -> None:
    """Mean and spread over many keys, each against as many draws of torch's own."""
    draw = DRAWN[name]
    torch.manual_seed(0)
    ours = torch.stack([run(draw, step=step).double() for step in range(60)]).flatten(1)
    theirs = torch.stack([draw().double() for _ in range(60)]).flatten(1)
    for measure in (lambda x: x.mean(1), lambda x: x.square().mean(1), lambda x: x.abs().amax(1)):
        assert stats.ttest_ind(measure(ours), measure(theirs), equal_var=False).pvalue > 1e-4 or torch.allclose(
            measure(ours), measure(theirs)
        )


def test_a_permutation_holds_every_place_once() -> None:
    assert torch.equal(run(lambda: torch.randperm(500)).sort().values, torch.arange(500))


def test_both_ways_to_the_bits_agree() -> None:
    keys = keys_of([1, 2**62, 5], 7, 1)
    assert torch.equal(fill_bits(keys, 1001, CPU), bits_by_torch(keys, 1001, CPU))
    mask = fill_mask(keys, 1001, 0.3, 2.0, CPU)
    assert torch.equal(mask, (bits_by_torch(keys, 1001, CPU) >= round(0.3 * 2**32)).float() * 2)


def test_bits_are_even_and_unrelated() -> None:
    """Each of 256 values of the high byte as often; neighbors, steps and seeds uncorrelated."""
    bits = fill_bits(keys_of(range(4), 0, 1), 2**16, CPU)
    for row in bits:
        assert stats.chisquare(torch.bincount(row >> 24, minlength=256)).pvalue > 1e-4
    rows = torch.cat([bits, fill_bits(keys_of(range(4), 1, 1), 2**16, CPU), bits.roll(1, 1)]).double()
    related = torch.corrcoef(rows).fill_diagonal_(0)
    assert related.abs().max() < 5 / 2**8


def test_extremes_of_dropout() -> None:
    assert run(lambda: F.dropout(X, 0.0)) is X
    assert run(lambda: F.dropout(X, 0.5, training=False)) is X
    assert not run(lambda: F.dropout(X, 1.0)).any()
    with pytest.raises(ValueError, match="between 0 and 1"):
        run(lambda: F.dropout(X, 1.5))


def test_a_generator_of_the_users_own_is_left_alone() -> None:
    own = torch.Generator().manual_seed(3)
    found = run(lambda: torch.rand(5, generator=own))
    assert torch.equal(found, torch.rand(5, generator=torch.Generator().manual_seed(3)))


def test_attention_with_dropout_keeps_its_mean() -> None:
    q, k, v = (torch.randn(2, 3, 9, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    mask = torch.rand(9, 9, generator=torch.Generator().manual_seed(5)) > 0.3
    mask.fill_diagonal_(True)
    for named in ({"is_causal": True}, {"attn_mask": mask}, {"attn_mask": mask.float()}, {"scale": 0.3}):
        exact = F.scaled_dot_product_attention(q, k, v, **named)
        mean = sum(
            run(lambda: F.scaled_dot_product_attention(q, k, v, dropout_p=0.2, **named), step=step)  # noqa: B023
            for step in range(400)
        )
        assert (mean / 400 - exact).abs().max() < 0.25
