"""Thalweg: optimizers written once as their papers' equations, fast, and compared honestly on your model."""

from typing import TYPE_CHECKING, Any

from thalweg import optim
from thalweg.classes import optimizer
from thalweg.rule import Rule, RuleError

if TYPE_CHECKING:
    from thalweg.conformance.run import conform
    from thalweg.differences import explain_difference
    from thalweg.lab.compare import Comparison, compare
    from thalweg.lab.exports import export
    from thalweg.lab.range_test import RangeTest, range_test
    from thalweg.lab.replay import replay, report
    from thalweg.lab.sweep import Sweep, sweep
    from thalweg.lab.task import Task
    from thalweg.lab.tune import Tuning, tune

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "RangeTest",
    "Rule",
    "RuleError",
    "Sweep",
    "Task",
    "Tuning",
    "compare",
    "conform",
    "explain_difference",
    "export",
    "optim",
    "optimizer",
    "range_test",
    "replay",
    "report",
    "sweep",
    "tune",
]

_LAZY = {
    "Comparison": "thalweg.lab.compare",
    "RangeTest": "thalweg.lab.range_test",
    "Sweep": "thalweg.lab.sweep",
    "Task": "thalweg.lab.task",
    "Tuning": "thalweg.lab.tune",
    "compare": "thalweg.lab.compare",
    "conform": "thalweg.conformance.run",
    "explain_difference": "thalweg.differences",
    "export": "thalweg.lab.exports",
    "range_test": "thalweg.lab.range_test",
    "replay": "thalweg.lab.replay",
    "report": "thalweg.lab.replay",
    "sweep": "thalweg.lab.sweep",
    "tune": "thalweg.lab.tune",
}


def __getattr__(name: str) -> Any:
    """The lab is imported when it is first asked for: `import thalweg.optim` needs torch, numpy and numba alone."""
    if name in _LAZY:
        from importlib import import_module

        try:
            return getattr(import_module(_LAZY[name]), name)
        except ModuleNotFoundError as error:
            raise ImportError(f"thalweg.{name} needs {error.name}: pip install 'thalweg[lab]'") from error
    raise AttributeError(f"module 'thalweg' has no attribute {name!r}")
