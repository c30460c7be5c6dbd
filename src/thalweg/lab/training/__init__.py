"""One training, from its seed to its curve."""
