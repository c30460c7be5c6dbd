"""Many runs of one model side by side, as one stacked model."""

from thalweg.lab.runners.lanes.probe import Finding, probe

__all__ = ["Finding", "probe"]
