"""Why do two optimizers of one name give different results? Run both, and tell the known differences apart."""

from thalweg.differences.contender import DifferenceError
from thalweg.differences.explanation import Explanation, Finding, explain_difference

__all__ = ["DifferenceError", "Explanation", "Finding", "explain_difference"]
