"""Colours and dashes: an optimizer looks the same in every figure, on white, on black and to the colour-blind.

The eight were searched for: contrast of 3 and more on both grounds, and as far apart as can be, with normal sight and
with the three kinds of colour blindness (a test holds them to it).
"""

from __future__ import annotations

COLOURS = ("#1a95fe", "#cd8309", "#0a8972", "#7d2cfc", "#fd1787", "#bc3d0a", "#9c78bc", "#ac1fb8")
DASHES = ("solid", "dashed", "dotted", "dotdash")
LIGHT, DARK = "#ffffff", "#14191e"  # the grounds of the page
GREY = "#8a94a0"  # lines that are there to measure by: seen on both grounds, louder on neither
VERDICTS = {"better": "#0a8972", "practically equal": "#1a7fd6", "worse": "#d4500f", "undecided": GREY}


def colour(place: int) -> str:
    """The colour of the optimizer in this place: eight, then the same eight with another dash."""
    return COLOURS[place % len(COLOURS)]


def dash(place: int) -> str:
    return DASHES[place // len(COLOURS) % len(DASHES)]
