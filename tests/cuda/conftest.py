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


def pytest_report_header():
    import torch

    if DEVICE.type == "cuda":
        return f"thalweg on {torch.cuda.get_device_name(DEVICE)}, torch {torch.__version__}"
    return "thalweg's CUDA kernels in Triton's interpreter"
