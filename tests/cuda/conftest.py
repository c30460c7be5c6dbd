"""The CUDA engine's tests run on a GPU where THALWEG_TEST_DEVICE=cuda says so, elsewhere in Triton's interpreter."""

import numpy as np
import pytest
import torch
from subjects import DEVICE


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    if DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def device():
    return DEVICE


@pytest.fixture
def correct_roots(monkeypatch):
    """torch's own, of whole vectors on some processors, are off in the last place: a fifth of them, measured."""
    if DEVICE.type == "cpu":
        monkeypatch.setattr(torch, "sqrt", lambda x: torch.from_numpy(np.asarray(np.sqrt(x.detach().numpy()))))
