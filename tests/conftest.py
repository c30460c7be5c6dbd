"""One thread a process, what tests start too: several, on fewer cores than they want, wait for each other.

A step of 0.03 ms became one of 16; an example that trains a convolution took 13 s of CPU, not 4. Tests of threads set
their own number. Where THALWEG_TEST_DEVICE names another device than the CPU, the tests' own
tensors are made there: what the tests say of one device they say of all. It is no default device: with one, a library
that forgets to name a device would be right here and nowhere else.
"""

import gc
import os

import apart
import cases
import pytest
import torch
from apart import pytest_ignore_collect as pytest_ignore_collect
from elsewhere import There
from subjects import DEVICE
from temporary import pytest_configure as pytest_configure

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

if DEVICE.type != "cpu":
    There(DEVICE).__enter__()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    apart.mark(items)
    cases.keep_part(config, items)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: gc.collect() need not go through it (0.5 s each time)."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Else libraries tell of what they take for leaks as the process ends."""
    gc.unfreeze()


def pytest_report_header() -> str | None:
    """Which card the tests run on."""
    if DEVICE.type != "cuda":
        return None
    return f"on {torch.cuda.get_device_name(DEVICE)}, CUDA {torch.version.cuda}, torch {torch.__version__}"
