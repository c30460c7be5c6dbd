"""`thalweg.optim` stands in for `torch.optim`: every public name, ours or torch's own."""

import pytest
import torch

import thalweg.optim as optim


def test_every_public_name_of_torchs_is_here():
    assert set(torch.optim.__all__) <= set(optim.__all__)
    for name in set(optim.TORCHS) & set(torch.optim.__all__):
        assert getattr(optim, name) is getattr(torch.optim, name)


def test_a_name_that_the_installed_torch_lacks_says_so(monkeypatch):
    monkeypatch.delattr(optim, "LBFGS")
    with pytest.raises(AttributeError, match=r"optim.LBFGS is torch's own, and torch \d\S* does not have it"):
        _ = optim.LBFGS
    with pytest.raises(AttributeError, match="module 'thalweg.optim' has no attribute 'Adm'"):
        _ = optim.Adm
