"""What several tests of the lab need: one thread, and one small study of each kind, made once a test process."""

from __future__ import annotations

from collections.abc import Iterator

import little
import pytest
from breaking import Crash

from thalweg.lab.cost.machine import torch_threads
from thalweg.lab.results import Result


@pytest.fixture
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies write empty reports: a whole one takes half a second. For tests that make many of one kind."""
    monkeypatch.setattr("thalweg.lab.report.render", lambda found: "")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    from thalweg.lab.verbs.compare import compare
    from thalweg.lab.verbs.range_test import range_test
    from thalweg.lab.verbs.sweep import sweep
    from thalweg.lab.verbs.tune import tune

    task, folder = little.task(), tmp_path_factory.mktemp("reports")
    return {
        "compare": compare(task, ["sgd", "adam", Crash], trials=5, out=folder / "compare"),
        "sweep": sweep(task, ["sgd", "adam"], points=4, seeds=2, out=folder / "sweep"),
        "range-test": range_test(task, "adam", seeds=2, steps=40, out=folder / "range"),
        "tune": tune(task, "adam", method="sobol", trials=6, out=folder / "tune"),
    }
