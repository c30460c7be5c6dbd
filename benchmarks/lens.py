"""The planted suite of lens: twenty faults and sound runs, and which of them are found. Writes Markdown and JSON.

    python benchmarks/lens.py --out benchmarks/results/lens.md

Rerun the command to resume it: runs that are in the JSON are not run again; `--most` ends it after so many.

Models and seeds on which no threshold was chosen (`held out`) are reported apart. About a second a run and core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lens"))

KEYS = ("part", "kind", "name", "model", "seed")
PARTS = {"made on": ("MADE_ON", (0, 1, 2), 6), "held out": ("HELD_OUT", (12, 13, 14), 6)}  # 10, 11: an earlier suite's


def one(job: tuple[str, str, str, str, int]) -> dict[str, object]:
    """One run: what was planted, what was found in the first 30 % of the steps and at the end."""
    import planted
    import torch

    part, kind, name, model, seed = job
    torch.set_num_threads(1)
    plan = planted.SOUND[name] if kind == "sound" else planted.FAULTS[name](seed)
    early, found, _, _ = planted.run(plan, getattr(planted, PARTS[part][0])[model], seed)
    return dict(zip(KEYS, job, strict=True)) | {"expected": plan.finding, "early": early, "found": found}


def jobs(parts: list[str]) -> list[tuple[str, str, str, str, int]]:
    import planted

    listed = []
    for part in parts:
        models, seeds, sound_seeds = PARTS[part]
        for model in getattr(planted, models):
            listed += [(part, "fault", name, model, seed) for name in planted.FAULTS for seed in seeds]
            listed += [
                (part, "sound", name, model, seeds[0] + more) for name in planted.SOUND for more in range(sound_seeds)
            ]
    first = {part: PARTS[part][1][0] for part in parts}
    return sorted(listed, key=lambda job: (job[4] - first[job[0]]) / (2 if job[1] == "sound" else 1))  # some of each


def summary(rows: list[dict], part: str) -> list[str]:
    own = [row for row in rows if row["part"] == part]
    faults = [row for row in own if row["kind"] == "fault"]
    sound = [row for row in own if row["kind"] == "sound"]
    first = sum(row["found"][:1] == [row["expected"]] for row in faults)
    three = sum(row["expected"] in row["found"][:3] for row in faults)
    early = sum(row["expected"] in row["early"][:3] for row in faults)
    alarms = [row for row in sound if row["found"]]
    share = 100 / max(len(faults), 1)
    lines = [
        f"## {part}",
        "",
        f"{len(faults)} runs with a fault: named first {first * share:.0f} %, within three {three * share:.0f} %, "
        f"within the first 30 % of the steps {early * share:.0f} %.",
        f"{len(sound)} sound runs: {len(alarms)} with a finding ({100 * len(alarms) / max(len(sound), 1):.1f} %).",
        "",
        "| planted | named first | within three | in the first 30 % | named first instead |",
        "|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["name"] for row in faults):
        these = [row for row in faults if row["name"] == name]
        other = Counter((row["found"] or ["nothing"])[0] for row in these if row["found"][:1] != [row["expected"]])
        cells = [
            sum(row["found"][:1] == [row["expected"]] for row in these),
            sum(row["expected"] in row["found"][:3] for row in these),
            sum(row["expected"] in row["early"][:3] for row in these),
        ]
        instead = ", ".join(f"{key} {count}" for key, count in other.items())
        lines.append(f"| {name} | " + " | ".join(f"{cell}/{len(these)}" for cell in cells) + f" | {instead} |")
    lines += [
        "",
        *(f"- sound {r['name']}, {r['model']}, seed {r['seed']}: {', '.join(r['found'])}" for r in alarms),
        "",
    ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "lens.md")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--most", type=int, default=None, help="runs before it ends")
    chosen = parser.parse_args()
    kept = chosen.out.with_suffix(".json")
    rows = json.loads(kept.read_text()) if kept.exists() else []
    done = {tuple(row[key] for key in KEYS) for row in rows}
    waiting = [job for job in jobs(chosen.parts) if job not in done][: chosen.most]
    with ProcessPoolExecutor(chosen.processes, mp_context=get_context("spawn")) as pool:
        for row in pool.map(one, waiting):
            rows.append(row)
            kept.write_text("[\n" + ",\n".join(json.dumps(each) for each in rows) + "\n]\n")
    text = ["# Lens: the planted suite", ""]
    for part in chosen.parts:
        text += summary(rows, part)
    chosen.out.write_text("\n".join(text).rstrip() + "\n")


if __name__ == "__main__":
    main()
