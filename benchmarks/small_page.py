"""docs/small_state.md from the newest results: its tables and its drawing.

    python benchmarks/small_page.py            write them
    python benchmarks/small_page.py --check    say what does not agree with the results; the tests run this

A table stands between `<!-- NAME, from results -->` and `<!-- end -->`; the words around it are the author's.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import memory
import quality
import quality_curves
import report
from thalweg.tensors.quantization import STATE_DTYPES

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "small_state.md"
PLACE = re.compile(r"(<!-- ([\w ]+), from results -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def newest(pattern: str, otherwise: str = "") -> Path:
    """The newest results of that name; of another where there are none."""
    found = sorted(RESULTS.glob(f"{pattern}.json")) or sorted(RESULTS.glob(f"{otherwise or pattern}.json"))
    if not found:
        raise FileNotFoundError(f"{RESULTS} has no {pattern}.json: run the bench that makes it")
    return found[-1]


def files() -> dict[str, Path]:
    """Which results the page is made of."""
    return {
        "quality": newest("quality-????-??-??"),
        "memory": newest("memory-????-??-??"),
        "speed": newest("step-*-state", "step-*-state-quick"),
    }


def goals(ends: dict[str, Any], speed: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """What was set out to reach: text, limit, measured, verdict."""
    for network in dict.fromkeys(row["network"] for row in ends["rows"]):
        rows = [row for row in ends["rows"] if row["network"] == network]
        for state in STATE_DTYPES[1:]:
            reached = sum(quality.apart(row, state) <= 1 for row in rows)
            text = f"{network}, {state}: optimizers that end within one deviation of float32, {ends['seeds']} seeds"
            yield text, f"{len(rows)} of {len(rows)}", str(reached), "met" if reached == len(rows) else "missed"
    for goal in report.SMALL_GOALS:
        yield goal.line(speed)


def tables() -> dict[str, str]:
    """Each table by its name."""
    found = {name: json.loads(path.read_text()) for name, path in files().items()}
    ends, speed = found["quality"], found["speed"]
    return {
        "quality": quality.ends_table(ends),
        "two sizes": quality.spans_table(ends),
        "rare rows": quality.rare_table(ends),
        "memory": memory.peaks_table(found["memory"]),
        "speed": report.small_table(next(row for row in speed["small"] if row["size"] == "124M")),
        "goals": report.table(("goal", "limit", "measured", "verdict"), goals(ends, speed)),
        "files": ", ".join(f"[{name}](../benchmarks/results/{path.stem}.md)" for name, path in files().items()),
    }


def written(page: str) -> str:
    """The page with its tables as the results have them."""
    made = tables()
    missing = made.keys() - {name for _, name, _, _ in PLACE.findall(page)}
    if missing:
        raise ValueError(f"{PAGE.name} has no place for: {', '.join(sorted(missing))}")
    return PLACE.sub(lambda found: f"{found[1]}{made[found[2]]}\n{found[4]}", page)


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    page = PAGE.read_text()
    due = {PAGE: written(page), quality_curves.DRAWING: quality_curves.draw(json.loads(files()["quality"].read_text()))}
    if not parser.parse_args().check:
        for path, text in due.items():
            path.write_text(text)
        return 0
    wrong = [path.name for path, text in due.items() if not path.exists() or path.read_text() != text]
    if wrong:
        print(f"not what the results say: {', '.join(wrong)}; python benchmarks/small_page.py writes them anew")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
