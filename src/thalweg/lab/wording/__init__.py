"""Numbers and findings in plain words."""

from thalweg.lab.wording.answer import status, verdict
from thalweg.lab.wording.unit import Unit, duration, listed, rate, several, span

__all__ = ["Unit", "duration", "listed", "rate", "several", "span", "status", "verdict"]
