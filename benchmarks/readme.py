"""The tables of speed.md and the READMEs: `python benchmarks/readme.py benchmarks/results/FILE.json`.

Printed are the speed of every rule, the goals, and the READMEs' few rows. The tests compare what stands on the pages
with what this makes of the newest full results.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from report import Results, check, table

RESULTS = Path(__file__).parent / "results"
FEW = ("sgd", "rmsprop", "adam", "adamw", "radam")
SHAPES = {"small": "101k in 4 tensors", "tensors": "1.9M in 350 tensors", "large": "124M in 148 tensors"}


def newest() -> Path:
    """The newest full results; other runs have longer names."""
    full = (path for path in RESULTS.glob("step-*.json") if not path.stem.endswith(("-quick", "-part", "-state")))
    return max(full, key=lambda path: str(json.loads(path.read_text())["date"]))


def speed(results: Results) -> str:
    """How many times faster than torch's default and fused a step is, and its share of the stream's speed."""
    rows: dict[str, dict[str, Any]] = {}
    for row in results["steps"]:
        rows.setdefault(row["rule"], {})[row["shape"]] = row["subjects"]
    lines = []
    for rule, shapes in rows.items():
        cells = [_against(shapes.get(shape, {})) for shape in SHAPES]
        stream = shapes.get("large", {}).get("stream")
        share = f"{stream['times_ours']['median']:.0%}" if stream else "-"
        lines.append([f"`{rule}`", *cells, share])
    return table(["rule", *SHAPES.values(), "124M: share of the stream"], lines)


def few(results: Results) -> str:
    """The rows of the READMEs: a few rules, without the share of the stream."""
    first, line, *rows = speed(results).splitlines()
    kept = [first, line, *(row for row in rows if row.startswith(tuple(f"| `{name}` |" for name in FEW)))]
    return "\n".join(row.rpartition(" | ")[0] + " |" for row in kept)


def _against(subjects: dict[str, Any]) -> str:
    shown = [f"{subjects[name]['times_ours']['median']:.2g}" for name in ("default", "fused") if name in subjects]
    return " / ".join(f"{text} x" for text in shown) or "-"


if __name__ == "__main__":
    results = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else newest()).read_text())
    print(speed(results), check(results)[0], few(results), sep="\n\n")
