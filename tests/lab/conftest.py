"""One small study of each kind, made once a test process, for the tests of reports."""

from __future__ import annotations

import little
import pytest
from breaking import Crash

from thalweg.lab.results import Result


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    from thalweg.lab.compare import compare
    from thalweg.lab.range_test import range_test
    from thalweg.lab.sweep import sweep
    from thalweg.lab.tune import tune

    task, folder = little.task(), tmp_path_factory.mktemp("reports")
    return {
        "compare": compare(task, ["sgd", "adam", Crash], trials=5, out=folder / "compare"),
        "sweep": sweep(task, ["sgd", "adam"], points=4, seeds=2, out=folder / "sweep"),
        "range-test": range_test(task, "adam", seeds=2, steps=40, out=folder / "range"),
        "tune": tune(task, "adam", method="sobol", trials=6, out=folder / "tune"),
    }
