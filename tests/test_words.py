"""The words of equations on tensors."""

import numpy as np
import pytest
import torch

from thalweg.rule.words import sqrt


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_roots_are_rounded_correctly(dtype):
    """The square of a correct root and of its neighbors say so, in wider numbers than torch has on every processor."""
    x = torch.rand(20_000, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 1000
    root = sqrt(x).numpy().astype(np.longdouble)
    exact = np.sqrt(x.numpy().astype(np.longdouble))
    half = np.spacing(root.astype(x.numpy().dtype)).astype(np.longdouble) / 2
    assert (np.abs(root - exact) <= half * (1 + 1e-3)).all()
    assert (sqrt(torch.tensor([0.0, torch.inf, torch.nan], dtype=dtype)).isnan().tolist()) == [False, False, True]
