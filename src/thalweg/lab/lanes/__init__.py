"""Many trainings of one model side by side, as one stacked model."""
