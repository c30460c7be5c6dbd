"""Quantiles and tails of Student's t and the normal distribution. SciPy is imported when the first is asked for."""

from __future__ import annotations

from typing import Any


def t_quantile(probability: float, freedom: Any) -> Any:
    """Where Student's t with so many degrees of freedom (a number or an array) is below with this probability."""
    from scipy import special  # scipy.stats has the same numbers, and takes a second to import

    return special.stdtrit(freedom, probability)


def t_tail(value: Any, freedom: float) -> Any:
    """How probable a larger value is, under Student's t."""
    from scipy import special

    return special.stdtr(freedom, -value)


def normal_quantile(probability: float) -> float:
    """Where the normal distribution is below with this probability."""
    from scipy import special

    return float(special.ndtri(probability))
