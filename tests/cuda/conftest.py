"""The CUDA engine's tests run on a GPU where THALWEG_TEST_DEVICE=cuda says so, elsewhere in Triton's interpreter."""

import pytest
from subjects import DEVICE


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    if DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.fixture
def device():
    return DEVICE
