"""A doctor for runs and checkpoints: what the optimizer does to the model, and what to change."""

from thalweg.lens.preflight import preflight as preflight
