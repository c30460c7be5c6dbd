"""A plain GPT script under three optimizers: a study killed twice and resumed on Ray, against one left alone.

    python benchmarks/killed.py            by command and by function; about five minutes on two cores

The script is examples/char_gpt.py, with its own loop and its own checkpoint. Each way, one study runs undisturbed;
another is ended by SIGKILL twice, with a run under way, and resumed on a local Ray cluster. Prints whether their
tables, and all their runs, are the same. Needs `pip install -e '.[lab,ray]'`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "examples" / "char_gpt.py"
STEPS, EVERY = 24, 8
OPTIMIZERS = ("adamw", "lion", "sgd")
PLAN: dict[str, Any] = {"direction": "min", "trials": 2, "finalists": 1, "finalist_seeds": 2}


def train(run: Any) -> float:
    """The same script as a function: its text with another way to get the options, the optimizer and the checkpoint."""
    options = [f"--steps={STEPS}", f"--every={EVERY}", f"--seed={run.seed}", f"--folder={run.folder}"]
    options += [f"--optimizer={run.entry.name}", f"--lr={run.settings.get('lr', run.entry.default_rate)!r}"]
    here: dict[str, Any] = {"__name__": "char_gpt", "print": lambda text, **_: said.append(text)}
    said: list[str] = []
    before, sys.argv = sys.argv, [str(SCRIPT), *options]
    try:
        exec(compile(SCRIPT.read_text(), str(SCRIPT), "exec"), here)
    finally:
        sys.argv = before
    return float(here["value"])


def study(way: str, out: str, on: str) -> None:
    """Run one study to its end; a process of its own calls this."""
    import thalweg

    if way == "function":
        thalweg.compare(train, OPTIMIZERS, **PLAN, on=on, out=out)
        return
    rest = "--optimizer {optimizer} --lr {lr} --seed {seed} --folder {folder}"
    command = f"{sys.executable} {SCRIPT} --steps {STEPS} --every {EVERY} {rest}"
    thalweg.compare(
        None,
        OPTIMIZERS,
        command=command,
        read=r"step (?P<step>\d+): val loss (?P<value>\S+)",
        **PLAN,
        on=on,
        out=out,
    )


def begun(way: str, out: Path, on: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, __file__, "--study", way, "--out", str(out), "--on", on]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"})


def ended(out: Path) -> int:
    path = out / "trials.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def under_way(out: Path) -> bool:
    """Whether a run has a checkpoint of the script's and has not ended."""
    return any(not (path.parent / "ended").exists() for path in out.glob("runs/*/gpt.pt"))


def kill(way: str, out: Path, least: int) -> int:
    """Begin, wait for so many runs and one in the middle, and end it by SIGKILL; how many had ended."""
    process = begun(way, out, "alone")
    while process.poll() is None and not (ended(out) >= least and under_way(out)):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return ended(out)


def runs(out: Path) -> dict[str, Any]:
    """What each run gave, by its identity."""
    lines = map(json.loads, (out / "trials.jsonl").read_text().splitlines())
    return {line["id"]: (line["status"], line["curve"]) for line in lines if "id" in line}


def measure(way: str, folder: Path) -> str:
    """One way, as a line."""
    whole, killed = folder / f"{way}-whole", folder / f"{way}-killed"
    start = time.perf_counter()
    assert begun(way, whole, "alone").wait() == 0
    at = [kill(way, killed, least) for least in (2, 6)]
    assert begun(way, killed, "ray").wait() == 0
    same = (whole / "table.csv").read_text() == (killed / "table.csv").read_text()
    equal = runs(whole) == runs(killed)
    return (
        f"by {way}: {ended(whole)} runs; killed after {at[0]} and {at[1]}; the same table: {same}; the same "
        f"runs to the bit: {equal}; {time.perf_counter() - start:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ways", default="command,function")
    parser.add_argument("--study", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="", help=argparse.SUPPRESS)
    parser.add_argument("--on", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.study:
        study(chosen.study, chosen.out, chosen.on)
        return
    folder = Path(tempfile.mkdtemp(prefix="killed-"))
    for way in chosen.ways.split(","):
        print(measure(way, folder), flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
