"""The curves of small state as a drawing: `python benchmarks/quality_curves.py`, from the newest results of quality.py.

A panel for each network and optimizer: the loss on held-back data with each kind of state, and below it how far the
means are from that of float32 state, in deviations between seeds. The tests draw it again and compare.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

RESULTS, DRAWING = Path(__file__).parent / "results", Path(__file__).parent.parent / "docs" / "small_state.svg"
STATES = ("float32", "bfloat16", "int8")
LEFT, TOP, WIDTH, LOSS, STRIP, GAP = 88, 62, 146, 84, 38, 10  # of a panel: its width, the two parts' heights
ACROSS, DOWN = WIDTH + 16, LOSS + GAP + STRIP + 48
FARTHEST = 2.0  # deviations; what is beyond is drawn at the edge
STYLE = """
  .page { fill: #ffffff } text { fill: #1f2937; font: 11px system-ui, sans-serif }
  .title { font-size: 13px; font-weight: 600 }
  .frame { fill: none; stroke: #d1d5db } .one { fill: #e5e7eb } .band { fill: #9ca3af; opacity: .35 }
  path { fill: none; stroke-linejoin: round } .float32 { stroke: #6b7280; stroke-width: 4.5; opacity: .55 }
  .bfloat16 { stroke: #2563eb; stroke-width: 1.8 } .int8 { stroke: #ea580c; stroke-width: 1.8; stroke-dasharray: 5 3 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text { fill: #e6edf3 } .frame { stroke: #3d444d } .one { fill: #262c36 }
    .float32 { stroke: #9198a1 } .bfloat16 { stroke: #60a5fa } .int8 { stroke: #fb923c }
  }
"""
Place = Callable[[float], float]


def newest() -> Path:
    """The newest full results; other runs have longer names."""
    return max(RESULTS.glob("quality-????-??-??.json"))


def means(row: dict[str, Any], state: str) -> list[float]:
    """The mean over the seeds at each point."""
    return [statistics.mean(values) for values in zip(*row["curves"][state], strict=True)]


def deviations(row: dict[str, Any]) -> list[float]:
    """Between the seeds, with float32 state."""
    return [statistics.stdev(values) for values in zip(*row["curves"]["float32"], strict=True)]


def path(kind: str, across: Sequence[float], heights: Sequence[float]) -> str:
    points = " ".join(f"{x:.0f} {y:.1f}" for x, y in zip(across, heights, strict=True))
    return f'<path class="{kind}" d="M{points}"/>'


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{named}>{words}</text>'


def ticks(least: float, most: float) -> list[float]:
    """Round numbers on a logarithmic axis, four or fewer."""
    places = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    for digits in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**place for place in places for digit in digits if least <= digit * 10.0**place <= most]
        if len(found) <= 4:
            break
    return found


def scale(rows: Sequence[dict[str, Any]]) -> tuple[float, float, Place]:
    """The least and the largest loss of a network, and where a loss stands in its panels."""
    values = []
    for row in rows:
        spread = deviations(row)
        values += [v for state in STATES for v in means(row, state)]
        values += [v + d for v, d in zip(means(row, "float32"), spread, strict=True)]
    least, most = min(values) * 0.95, max(values) * 1.03
    return least, most, lambda loss: LOSS * math.log(most / max(loss, least)) / math.log(most / least)


def panel(row: dict[str, Any], x: float, y: float, place: Place) -> Iterator[str]:
    """One network and optimizer."""
    across = [x + WIDTH * step / row["steps"][-1] for step in row["steps"]]
    full, spread = means(row, "float32"), deviations(row)
    upper = [y + place(mean + one) for mean, one in zip(full, spread, strict=True)]
    lower = [y + place(mean - one) for mean, one in zip(full, spread, strict=True)]
    outline = zip([*across, *reversed(across)], [*upper, *reversed(lower)], strict=True)
    yield '<polygon class="band" points="' + " ".join(f"{a:.0f},{b:.1f}" for a, b in outline) + '"/>'
    for state in STATES:
        yield path(state, across, [y + place(mean) for mean in means(row, state)])
    yield f'<rect class="frame" x="{x}" y="{y}" width="{WIDTH}" height="{LOSS}"/>'
    base = y + LOSS + GAP
    middle, one = base + STRIP / 2, STRIP / 2 / FARTHEST
    yield f'<rect class="one" x="{x}" y="{middle - one}" width="{WIDTH}" height="{2 * one}"/>'
    for state in STATES[1:]:
        apart = [(a - b) / c for a, b, c in zip(means(row, state), full, spread, strict=True)]
        yield path(state, across, [middle - one * min(max(each, -FARTHEST), FARTHEST) for each in apart])
    yield f'<rect class="frame" x="{x}" y="{base}" width="{WIDTH}" height="{STRIP}"/>'


def legend(width: float) -> Iterator[str]:
    """What the lines are."""
    x = LEFT
    for state in STATES:
        yield path(state, [x, x + 28], [16, 16])
        yield text(x + 34, 20, state, "start")
        x += 110
    yield text(width - 16, 20, "above: loss on held-back data, mean and deviation over the seeds (gray);", "end")
    yield text(width - 16, 35, "below: distance from float32 in deviations (shaded: within one)", "end")


def draw(results: dict[str, Any]) -> str:
    """The whole drawing."""
    networks = list(dict.fromkeys(row["network"] for row in results["rows"]))
    optimizers = list(dict.fromkeys(row["optimizer"] for row in results["rows"]))
    width, height = LEFT + ACROSS * len(optimizers), TOP + DOWN * len(networks) - 12
    parts = [*legend(width)]
    parts += [text(LEFT + ACROSS * i + WIDTH / 2, TOP - 8, name, kind="title") for i, name in enumerate(optimizers)]
    for down, network in enumerate(networks):
        rows = [row for row in results["rows"] if row["network"] == network]
        y, (least, most, place) = TOP + DOWN * down, scale(rows)
        middle = y + (LOSS + GAP + STRIP) / 2
        turned = f'transform="rotate(-90 16 {middle:.0f})"'
        parts.append(f'<text class="title" x="16" y="{middle:.0f}" text-anchor="middle" {turned}>{network}</text>')
        parts += [text(LEFT - 6, y + place(each) + 4, f"{each:g}", "end") for each in ticks(least, most)]
        base = y + LOSS + GAP + STRIP / 2
        parts += [text(LEFT - 6, base - each * STRIP / 2 / FARTHEST + 4, f"{each:+d}", "end") for each in (1, -1)]
        for row in rows:
            x = LEFT + ACROSS * optimizers.index(row["optimizer"])
            parts += panel(row, x, y, place)
            parts.append(text(x, y + LOSS + GAP + STRIP + 14, "0", "start"))
            parts.append(text(x + WIDTH, y + LOSS + GAP + STRIP + 14, f"{row['steps'][-1]} steps", "end"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
    page = f'<rect class="page" width="{width}" height="{height}" rx="10"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", page, *parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    DRAWING.write_text(draw(json.loads(newest().read_text())))
    print(f"{DRAWING}: {DRAWING.stat().st_size:,} bytes")
