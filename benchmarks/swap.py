"""Three training scripts with torch.optim, and again with nothing changed but the import: loss curves and times.

    python benchmarks/swap.py                         all three; about 8 minutes
    python benchmarks/swap.py --quick                 a look
    python benchmarks/swap.py --scripts plain,lightning --name SGD

Needs thalweg[frameworks] for Lightning and Hugging Face; what is not installed is left out, and said.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import report
import written
from step import RESULTS, use_threads

CLASSES = ("SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop")
NAMES = ("plain", "lightning", "hugging_face")
TITLES = {"plain": "plain PyTorch", "lightning": "Lightning", "hugging_face": "Hugging Face Trainer"}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="few steps and rounds")
    parser.add_argument("--scripts", default=",".join(NAMES), help="of %(default)s")
    parser.add_argument("--name", default="AdamW", choices=CLASSES, help="the optimizer's class; default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    chosen = parser.parse_args()
    chosen.scripts = chosen.scripts.split(",")
    for name in chosen.scripts:
        if name not in NAMES:
            parser.error(f"--scripts: {name!r} is none of {', '.join(NAMES)}")
    return chosen


def builders(name: str) -> dict[str, Any]:
    """The class of both libraries, and torch's fused one where it has one. `lr` is all that is set."""
    import inspect

    import torch

    import thalweg.optim
    from scripts import LR

    ours, torchs = getattr(thalweg.optim, name), getattr(torch.optim, name)
    found = {"ours": lambda params: ours(params, lr=LR), "default": lambda params: torchs(params, lr=LR)}
    if "fused" in inspect.signature(torchs).parameters:
        found["fused"] = lambda params: torchs(params, lr=LR, fused=True)
    return found


def apart(curve: list[float], other: list[float]) -> float:
    """The largest relative difference between two loss curves, step by step."""
    return float(np.max([abs(a - b) / abs(b) for a, b in zip(curve, other, strict=True)]))


def measure(script: str, name: str, quick: bool) -> dict[str, Any]:
    """One script with every class in turn. A turn is a whole run from the first weights; its medians count."""
    from interleave import Pace, Turn, compared, interleave
    from scripts import SCRIPTS

    run, steps, curves = SCRIPTS[script][0], 30 if quick else 150, {}

    def turn_of(subject: str, build: Any) -> Turn:
        def turn() -> tuple[int, ...]:
            watch = run(build, steps)
            again = curves.setdefault(subject, watch.losses)
            if watch.losses != again:
                raise RuntimeError(f"{script} with {subject}: two runs of the same script differ")
            return watch.medians()

        return turn

    subjects = {subject: turn_of(subject, build) for subject, build in builders(name).items()}
    pace = Pace(seconds=10 if quick else 120, least=3 if quick else 7, most=25, warm_up=1)
    rounds = interleave(subjects, pace)
    whole, own = compared(rounds, part=0), compared(rounds, part=1)
    return {
        "steps": steps,
        "rounds": len(rounds["ours"]),
        "first_loss": curves["default"][0],
        "last_loss": curves["default"][-1],
        "subjects": {
            subject: {
                "whole_us": whole[subject]["us"],
                "whole_times_ours": whole[subject]["times_ours"],
                "step_us": own[subject]["us"],
                "step_times_ours": own[subject]["times_ours"],
                "curve_apart_from_torch": apart(curves[subject], curves["default"]),
            }
            for subject in subjects
        },
    }


def section(script: str, part: dict[str, Any]) -> str:
    """One script as Markdown."""
    head = ("", "whole step, us", "x thalweg", "`step()` alone, us", "x thalweg", "loss curve apart from torch's")
    lines = [
        (
            report.NAMES[subject],
            report.spread(row["whole_us"]),
            report.spread(row["whole_times_ours"]),
            report.spread(row["step_us"]),
            report.spread(row["step_times_ours"]),
            f"{row['curve_apart_from_torch']:.1e}",
        )
        for subject, row in part["subjects"].items()
    ]
    return (
        f"## {TITLES[script]}\n\n{part['steps']} steps, loss {part['first_loss']:.3f} to {part['last_loss']:.3f}; "
        f"median (quartiles) over {part['rounds']} rounds, each a whole run by everybody.\n\n"
        + report.table(head, lines)
    )


def markdown(results: dict[str, Any]) -> str:
    """All that was measured."""
    machine = results["machine"]
    installed = ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version)
    head = (
        f"# {results['name']} with the import swapped, {results['date']}\n\n"
        f"- {machine['cpu']} ({machine['instructions']}), {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['memory_gb']} GB memory; {machine['system']}\n- {installed}\n"
        f"- load average {results['load']['start']} at the start, {results['load']['end']} at the end; "
        f"{results['seconds']:.0f} s" + ("; --quick: few steps and rounds" if results["quick"] else "")
    )
    parts = [head, *(section(script, part) for script, part in results["scripts"].items())]
    return "\n\n".join([*parts, *(f"- {note}" for note in results["notes"])]) + "\n"


def versions() -> dict[str, str | None]:
    """What is installed, the frameworks too."""
    import machine

    found = machine.versions()
    for name in ("lightning", "transformers", "accelerate"):
        found[name] = importlib.metadata.version(name) if importlib.util.find_spec(name) else None
    return found


def main() -> int:
    """Run what was asked for."""
    chosen = arguments()
    use_threads(chosen.threads)
    import machine
    from scripts import SCRIPTS

    began = time.monotonic()
    results: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "quick": chosen.quick,
        "name": chosen.name,
        "machine": machine.describe(),
        "versions": versions(),
        "load": {"start": machine.load(), "end": None},
        "scripts": {},
        "notes": [],
    }
    partial = chosen.name != "AdamW" or tuple(chosen.scripts) != NAMES
    files = written.named("swap", results, "-quick" if chosen.quick else "-part" if partial else "")
    for script in chosen.scripts:
        missing = [name for name in SCRIPTS[script][1] if not importlib.util.find_spec(name)]
        if missing:
            results["notes"].append(f"{TITLES[script]} left out: {', '.join(missing)} not installed")
        else:
            results["scripts"][script] = measure(script, chosen.name, chosen.quick)
        results["load"]["end"], results["seconds"] = machine.load(), time.monotonic() - began
        written.write(results, markdown(results), chosen.out, files)
        print(f"{results['seconds']:6.0f} s  {script}", file=sys.stderr, flush=True)
    print(markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
