"""How the work is cut: everything once, equal shares, whole cache lines."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.plan.chunks import LINE, cut
from thalweg.tensors.layout import is_flat

SIZES = st.lists(st.integers(0, 5000), max_size=12)


@settings(deadline=None)
@given(SIZES, st.integers(1, 7), st.integers(1, 3000))
def test_every_element_is_in_one_chunk(sizes, parts, limit):
    chunks, bounds = cut(sizes, parts, limit)
    covered = [np.zeros(size, dtype=int) for size in sizes]
    for tensor, start, length, _ in chunks:
        assert 0 < length <= limit
        covered[tensor][start : start + length] += 1
    assert all((each == 1).all() for each in covered)
    assert bounds[0] == 0 and bounds[-1] == len(chunks) and (np.diff(bounds) >= 0).all()


@given(SIZES, st.integers(1, 7))
def test_shares_are_equal_to_a_cache_line(sizes, parts):
    chunks, bounds = cut(sizes, parts, 10**9)
    shares = [int(chunks[a:b, 2].sum()) for a, b in itertools.pairwise(bounds)]
    assert len(shares) <= max(parts, 1)
    assert all(share == shares[0] for share in shares[:-1])
    if shares:
        assert max(shares) <= sum(sizes) / parts + LINE


@pytest.mark.parametrize(
    ("tensor", "flat"),
    [
        (torch.empty(3, 4), True),
        (torch.empty(3, 4).t(), True),
        (torch.empty(2, 3, 4, 5).to(memory_format=torch.channels_last), True),
        (torch.empty(()), True),
        (torch.empty(0, 3), True),
        (torch.empty(1, 7, 1), True),
        (torch.empty(6, 4)[:, :2], False),
        (torch.empty(6)[::2], False),
        (torch.empty(3, 1).expand(3, 4), False),
        (torch.empty(9).as_strided((3, 3), (1, 1)), False),
    ],
)
def test_what_is_flat_memory(tensor, flat):
    assert is_flat(tensor) is flat
