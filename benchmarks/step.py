"""The step of every rule against torch and DeepSpeed, with the memory's own speed as the limit.

    python benchmarks/step.py                        the full run
    python benchmarks/step.py --quick                a look, about a minute
    python benchmarks/step.py --state int8,bfloat16  Adam with small state instead
    python benchmarks/step.py --check RESULTS.json   the goals, met or missed
    python benchmarks/step.py --device cuda          on a GPU (on_cuda.py); --dry-run tries that without one

README.md in this folder says how it is measured, and how DeepSpeed is installed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import report
import written

if TYPE_CHECKING:
    from peers import Start

    from interleave import Pace
    from thalweg.catalogue import Entry

SHAPES = ("small", "tensors", "large")
SECTIONS = (*SHAPES, "training", "first_step")
RESULTS = Path(__file__).parent / "results"
QUICK_LARGE = ("adam",)  # each rule on the large shape takes gigabytes and many seconds

NEGATIVE = "its variance rounds below zero where the gradient stays the same, and turns to NaN; ours is kept at 0"
KNOWN = {
    **{(f"rmsprop_centred{more}", name): NEGATIVE for more in ("", "_momentum") for name in ("default", "foreach")},
    ("nesterov", "foreach"): "torch's foreach adds the momentum into the gradients themselves, which stay here "
    "from step to step",
}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help=f"few rounds; large only for {QUICK_LARGE[0]}")
    parser.add_argument("--shapes", default=",".join(SECTIONS), help="sections to run, of %(default)s")
    parser.add_argument("--rules", default="", help="rules to run, by their catalogue names; default all")
    parser.add_argument("--state", default="", help="measure Adam with these states, such as int8, and nothing else")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--check", type=Path, metavar="JSON", help="hold these results against the goals")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to step")
    parser.add_argument("--dry-run", action="store_true", help="with --device cuda: tiny, in Triton's interpreter")
    chosen = parser.parse_args()
    if chosen.dry_run and chosen.device != "cuda":
        parser.error("--dry-run: only with --device cuda")
    chosen.shapes = chosen.shapes.split(",") if not chosen.state else []
    for name in chosen.state.split(",") if chosen.state else ():
        if name not in ("int8", "bfloat16"):
            parser.error(f"--state: {name!r} is none of int8, bfloat16")
    for name in chosen.shapes:
        if name not in SECTIONS:
            parser.error(f"--shapes: {name!r} is none of {', '.join(SECTIONS)}")
    return chosen


def use_threads(number: int) -> None:
    """Before torch, Numba and DeepSpeed are imported: each reads its own at that time."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(number)


def pace_of(shape: str, quick: bool) -> Pace:
    """How long to measure one rule on a shape."""
    from interleave import Pace

    if shape == "large":
        # Runs of a second: threads of the predecessor have long stopped waiting, and no cache holds its data.
        seconds, least, warm_up = (2, 3, 1) if quick else (6, 6, 2)
        return Pace(seconds=seconds, least=least, most=25, warm_up=warm_up)
    if shape == "tensors":
        seconds, timed = (0.3, 1) if quick else (3.0, 3)
        return Pace(seconds=seconds, least=7, most=200, timed=timed, settling=1)
    return Pace(seconds=0.25 if quick else 2.0, least=15, most=400, timed=9, settling=3, warm_up=10)


def measure_step(shape: str, entry: Entry, start: Start, quick: bool) -> dict[str, Any]:
    """One rule on one shape, everybody in turn."""
    from peers import builders, bytes_per_parameter, disagreement, stream

    from interleave import compared, interleave, stopwatch

    states = len(entry.rule.states) if entry.rule else 0
    found = builders(entry)
    params = {name: start.params(place) for place, name in enumerate(found)}
    optimizers = {name: build(params[name]) for name, build in found.items()}
    turns = {name: stopwatch(optimizer.step) for name, optimizer in optimizers.items()}
    turns["stream"] = stopwatch(stream(start.numel, states))
    rounds = interleave(turns, pace_of(shape, quick))
    subjects = compared(rounds)
    for name, own in params.items():
        subjects[name]["apart_from_ours"] = disagreement(params["ours"], own, start)
    moved = bytes_per_parameter(states)
    return {
        "shape": shape,
        "rule": entry.name,
        "settings": dict(entry.settings),
        "parameters": start.numel,
        "tensors": start.tensors,
        "states": states,
        "bytes_per_parameter": moved,
        "gb_per_s": moved * start.numel / subjects["ours"]["us"]["median"] / 1e3,
        "rounds": len(rounds["ours"]),
        "subjects": subjects,
    }


def too_large(entry: Entry, start: Start) -> str | None:
    """Why a rule cannot be measured here: each subject has its own tensors, foreach temporaries as well."""
    from peers import builders

    from machine import available_memory

    states = len(entry.rule.states) if entry.rule else 0
    needed = ((len(builders(entry)) + 1) * (2 + states) + 3 - 2 * len(start.held)) * 4 * start.numel
    if needed < available_memory():
        return None
    return f"{entry.name} on {start.numel:,} parameters left out: it needs {needed / 1e9:.0f} GB of memory"


class Run:
    """The results so far, written after every measurement: an interrupted run keeps what it has."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        import machine

        self.chosen, self.load = chosen, machine.load
        self.began = time.monotonic()
        self.results: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "quick": chosen.quick,
            "machine": machine.describe(),
            "versions": machine.versions(),
            "load": {"start": machine.load(), "end": None},
            "seconds": 0.0,
            "steps": [],
            "notes": [],
        }

    @property
    def stem(self) -> str:
        partial = self.chosen.rules or tuple(self.chosen.shapes) != SECTIONS
        kind = "-quick" if self.chosen.quick else "-part" if partial else ""
        return written.named("step", self.results, f"-state{kind.replace('-part', '')}" if self.chosen.state else kind)

    def save(self) -> None:
        self.results["load"]["end"] = self.load()
        self.results["seconds"] = time.monotonic() - self.began
        written.write(self.results, report.markdown(self.results), self.chosen.out, self.stem)

    def tell(self, what: str) -> None:
        """Progress, apart from the tables on stdout."""
        print(f"{time.monotonic() - self.began:6.0f} s  {what}", file=sys.stderr, flush=True)

    def steps(self, shape: str, entries: list[Entry]) -> None:
        """Every rule on one shape."""
        from peers import SHAPES, Start

        start = Start(SHAPES[shape])
        for entry in entries:
            if shape == "large" and entry.name not in (QUICK_LARGE if self.chosen.quick else [entry.name]):
                continue
            refusal = too_large(entry, start)
            if refusal:
                self.results["notes"].append(refusal)
                continue
            row = measure_step(shape, entry, start, self.chosen.quick)
            self.results["steps"].append(row)
            self.results["notes"] += doubts(row)
            self.save()
            times = row["subjects"]
            ratios = ((name, each["times_ours"]["median"]) for name, each in times.items())
            line = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios if name != "ours")
            self.tell(f"{shape} {entry.name}: {times['ours']['us']['median']:,.0f} us; times ours: {line}")

    def small(self, states: list[str]) -> None:
        """Adam with small state, in each size."""
        import small_state

        self.results["small"] = []
        for size in small_state.SIZES:
            row = small_state.measure(size, states, self.chosen.quick)
            self.results["small"].append(row)
            self.save()
            ratio = row["subjects"]["fused"]["times_ours"]["median"]
            self.tell(f"{states[0]} state, {size}: torch's fused float32 takes {ratio:.2f} times as long")

    def section(self, name: str) -> None:
        """A section that is no shape."""
        import first_step
        import training

        self.results[name] = {"training": training, "first_step": first_step}[name].measure(self.chosen.quick)
        self.save()
        self.tell(name)


def doubts(row: dict[str, Any]) -> list[str]:
    """Whatever forbids a comparison: everybody took the same steps, and must have come to the same place."""
    found = []
    for name, subject in row["subjects"].items():
        apart = subject.get("apart_from_ours", {"share": 0.0, "finite": True})
        if not apart["finite"] or not apart["share"] < 1e-2:
            why = KNOWN.get((row["rule"], name), "its time is no fair comparison")
            found.append(f"{row['shape']} {row['rule']}: {name} ended elsewhere than ours did; {why}")
    return found


def entries_of(names: str) -> list[Entry]:
    """The catalogue, or the named part of it."""
    from thalweg.catalogue import CATALOGUE, Entry

    if names:
        return [Entry.of(name) for name in names.split(",")]
    # What works with whole tensors, matrices or curvature goes through torch's operations in part.
    return [entry for entry in CATALOGUE.values() if entry.takes_dense and not _beyond_elements(entry)]


def _beyond_elements(entry: Entry) -> bool:
    rule = entry.rule
    assert rule is not None
    return rule.per_tensor is not None or bool(rule.matrices) or bool(getattr(entry.optimizer, "second_order", False))


def main() -> int:
    """Run what was asked for; 1 where a goal is missed in `--check`."""
    chosen = arguments()
    if chosen.check:
        text, good = report.check(json.loads(chosen.check.read_text()))
        print(text)
        return 0 if good else 1
    use_threads(chosen.threads)
    if chosen.device == "cuda":
        if chosen.dry_run:
            os.environ["TRITON_INTERPRET"] = "1"
        import on_cuda

        return on_cuda.main(chosen)
    entries, run = entries_of(chosen.rules), Run(chosen)
    if chosen.state:
        run.small(chosen.state.split(","))
    for name in chosen.shapes:
        if name in SHAPES:
            run.steps(name, entries)
        else:
            run.section(name)
    print(report.markdown(run.results))
    run.tell(f"written to {chosen.out / run.stem}.md and .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
