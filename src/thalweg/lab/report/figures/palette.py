"""Colors and dashes: an optimizer looks the same in every figure, on white, on black and to the color-blind.

The eight were searched for: contrast of 3 and more on both grounds, and as far apart as can be, with normal sight and
with the three kinds of color blindness (a test holds them to it).
"""

from __future__ import annotations

COLORS = ("#1a95fe", "#cd8309", "#0a8972", "#7d2cfc", "#fd1787", "#bc3d0a", "#9c78bc", "#ac1fb8")
DASHES = ("solid", "dashed", "dotted", "dotdash")
RAMP = ("#1a95fe", "#7d5cf0", "#c0289a", "#cc4a1c", "#cd8309")
LIGHT, DARK = "#ffffff", "#14191e"  # the grounds of the page
SHOWN = 5  # in color at first; the chips bring the others
FEW = 8  # so many and no more: all are in color from the start
GREY = "#8a94a0"  # lines that are there to measure by: seen on both grounds, louder on neither
VERDICTS = {"better": "#0a8972", "equivalent": "#1a7fd6", "worse": "#d4500f", "undecided": GREY}


def color(index: int) -> str:
    """The color of the optimizer in this place: eight, then the same eight with another dash."""
    return COLORS[index % len(COLORS)]


def ramp(count: int) -> list[str]:
    """Colors that go from cold to hot, for what has an order of its own: learning rates, low to high."""
    stops = [tuple(int(stop[i : i + 2], 16) for i in (1, 3, 5)) for stop in RAMP]
    result = []
    for index in range(count):
        at = index / max(1, count - 1) * (len(stops) - 1)
        low = min(int(at), len(stops) - 2)
        mixed = (a + (b - a) * (at - low) for a, b in zip(stops[low], stops[low + 1], strict=True))
        result.append("#" + "".join(f"{round(part):02x}" for part in mixed))
    return result


def dash(index: int) -> str:
    return DASHES[index // len(COLORS) % len(DASHES)]


def shown_first(count: int) -> int:
    """How many of so many optimizers are in color when the report opens."""
    return count if count <= FEW else SHOWN
