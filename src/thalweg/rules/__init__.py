"""The catalogue: one paper, one file."""
