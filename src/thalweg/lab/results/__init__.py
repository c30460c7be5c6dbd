"""What the verbs give back: one shape of result, a kind a verb, each in its own file."""

from thalweg.lab.results.comparison import Comparison
from thalweg.lab.results.result import Result
from thalweg.lab.results.sweep import Sweep

__all__ = ["Comparison", "Result", "Sweep"]
