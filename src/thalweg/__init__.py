"""Thalweg: optimizers written once as their papers' equations, fast, and compared honestly on your model."""

from typing import TYPE_CHECKING, Any

from thalweg import optim
from thalweg.lens.watching import lens
from thalweg.optimizers.factory import optimizer
from thalweg.rule.definition import Rule, RuleError

if TYPE_CHECKING:
    from thalweg.conformance.run import conform
    from thalweg.differences import explain_difference
    from thalweg.lab.own_loop.run import Run
    from thalweg.lab.results import JointComparison
    from thalweg.lab.task.task import Task
    from thalweg.lab.verbs.compare import Comparison, compare
    from thalweg.lab.verbs.export import export
    from thalweg.lab.verbs.range_test import RangeTest, range_test
    from thalweg.lab.verbs.replay import replay
    from thalweg.lab.verbs.reporting import report
    from thalweg.lab.verbs.status import status
    from thalweg.lab.verbs.sweep import Sweep, sweep
    from thalweg.lab.verbs.tune import Tuning, tune

__version__ = "0.2.0"
__all__ = [
    "Comparison",
    "JointComparison",
    "RangeTest",
    "Rule",
    "RuleError",
    "Run",
    "Sweep",
    "Task",
    "Tuning",
    "compare",
    "conform",
    "explain_difference",
    "export",
    "lens",
    "optim",
    "optimizer",
    "range_test",
    "replay",
    "report",
    "status",
    "sweep",
    "tune",
]

_LAZY = {
    "Comparison": "thalweg.lab.verbs.compare",
    "JointComparison": "thalweg.lab.results",
    "RangeTest": "thalweg.lab.verbs.range_test",
    "Run": "thalweg.lab.own_loop.run",
    "Sweep": "thalweg.lab.verbs.sweep",
    "Task": "thalweg.lab.task.task",
    "Tuning": "thalweg.lab.verbs.tune",
    "compare": "thalweg.lab.verbs.compare",
    "conform": "thalweg.conformance.run",
    "explain_difference": "thalweg.differences",
    "export": "thalweg.lab.verbs.export",
    "range_test": "thalweg.lab.verbs.range_test",
    "replay": "thalweg.lab.verbs.replay",
    "report": "thalweg.lab.verbs.reporting",
    "status": "thalweg.lab.verbs.status",
    "sweep": "thalweg.lab.verbs.sweep",
    "tune": "thalweg.lab.verbs.tune",
}


def __getattr__(name: str) -> Any:
    """The lab is imported when it is first asked for: `import thalweg.optim` needs torch, numpy and numba alone."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'thalweg' has no attribute {name!r}")
