"""Numbers and findings in plain words."""

from thalweg.lab.judging.wording.answer import status, verdict
from thalweg.lab.judging.wording.numbers import Unit, duration, listed, rate, span

__all__ = ["Unit", "duration", "listed", "rate", "span", "status", "verdict"]
