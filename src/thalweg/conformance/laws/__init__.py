"""The laws by theme; to import them is to enter them in `LAWS`."""

from thalweg.conformance.laws import (  # isort: skip  (the order in which they are tried and printed)
    stepping,
    gradients,
    construction,
    invariance,
    layouts,
    numbers,
    dtypes,
    determinism,
    settings,
    checkpoints,
    calling,
)

__all__ = [
    "calling",
    "checkpoints",
    "construction",
    "determinism",
    "dtypes",
    "gradients",
    "invariance",
    "layouts",
    "numbers",
    "settings",
    "stepping",
]
