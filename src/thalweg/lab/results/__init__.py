"""What the verbs give back: one shape of answer, a kind a verb, each in its own file."""

from thalweg.lab.results.answer import Answer
from thalweg.lab.results.comparison import Comparison
from thalweg.lab.results.from_folder import read, read_answer
from thalweg.lab.results.joint import JointComparison
from thalweg.lab.results.range_test import RangeTest
from thalweg.lab.results.result import Result
from thalweg.lab.results.sweep import Sweep
from thalweg.lab.results.tuning import Tuning

__all__ = ["Answer", "Comparison", "JointComparison", "RangeTest", "Result", "Sweep", "Tuning", "read", "read_answer"]
