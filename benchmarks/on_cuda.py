"""The step on a GPU: `step.py --device cuda`. Ours (Adam also with int8 and bfloat16 state) against torch's foreach and
fused, HeavyBall, bitsandbytes and FlashOptim, where these are installed, with a copy of the same bytes as the limit.

    python benchmarks/step.py --device cuda               1B parameters and 350 small tensors; some minutes
    python benchmarks/step.py --device cuda --dry-run     the same code on the CPU, tiny, in Triton's interpreter

A turn is several steps between two events of the GPU; the host waits at its end alone. Two times come of it: the GPU's
between the events, and the host's until it has asked for all of them. A small step is bound by the second.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import inspect
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from peers import LR, bytes_per_parameter, torch_class

import written
from interleave import Pace, Turn, compared, interleave
from report import number, spread, table
from thalweg.catalogue import Entry

Build = Callable[[list[torch.nn.Parameter]], Any]
WAYS = {
    "billion": [(8192, 8192)] * 14 + [(8192,)] * 1000 + [(65536, 800)],  # 1,000,144,896 in 1,015 tensors
    "tensors": [(104, 104), (104,)] * 175,  # 1,911,000 in 350
}
TINY = {"billion": [(40, 41), (65, 64), (3,)], "tensors": [(9, 4), (3,)] * 3}
RULES = (
    "adam",
    "adamw",
    "momentum",
    "adagrad",
    "rmsprop",
    "radam",
    "nadam",
    "adadelta",
    "adamax",
    "lion",
    "lamb",
    "lars",
    "prodigy",
)
# Adam by each library, as (module, class, settings): float32 state, and 8 bits where it has them.
OTHERS = {
    "heavyball": ("heavyball", "AdamW", {"weight_decay": 0.0, "betas": (0.9, 0.999)}),
    "bitsandbytes": ("bitsandbytes.optim", "Adam", {}),
    "bitsandbytes 8 bits": ("bitsandbytes.optim", "Adam8bit", {}),
    "flashoptim": ("flashoptim", "FlashAdamW", {"weight_decay": 0.0}),
}
SMALL = {"ours int8": ("int8", 1 + 1 / 256), "ours bfloat16": ("bfloat16", 2)}  # Adam's; bytes of a moment
GOALS = (
    ("Adam, 1B parameters: speed / torch fused", "billion", ("adam",), "ours", "fused", 1.0),
    ("Adam with int8 state, 1B: speed / torch fused float32", "billion", ("adam",), "ours int8", "fused", 1.5),
    ("rules that torch does not fuse, 1B: speed / foreach", "billion", RULES[4:9], "ours", "foreach", 3.0),
    ("Adam, 350 small tensors: speed / torch fused", "tensors", ("adam",), "ours", "fused", 1.3),
)


def builders(entry: Entry, dry: bool, notes: list[str]) -> dict[str, Build]:
    """Every implementation of a rule that is at hand, ours first."""
    own: dict[str, Any] = {"engine": "cuda"} if dry else {}
    found: dict[str, Build] = {"ours": lambda params: entry.build(params, lr=LR, **own)}
    cls = torch_class(entry)
    if cls is not None:
        for name in ("foreach", "fused"):
            if name in inspect.signature(cls).parameters:
                found[name] = partial(cls, lr=LR, **entry.settings, **{name: True})  # type: ignore[arg-type]
    if entry.name == "adam":
        found |= {name: partial(entry.build, lr=LR, state_dtype=state, **own) for name, (state, _) in SMALL.items()}
        for name, (module, of, settings) in OTHERS.items():
            if importlib.util.find_spec(module.split(".")[0]) is None:
                continue
            try:
                found[name] = partial(getattr(importlib.import_module(module), of), lr=LR, **settings)
            except (ImportError, AttributeError, OSError) as error:
                notes.append(f"{name} could not be loaded: {error}")
    return found


class Clock:
    """Times the GPU by its own events; on the CPU, in a dry run, by the clock."""

    def __init__(self, device: torch.device, steps: int) -> None:
        self.far, self.steps = device.type == "cuda", steps

    def turn(self, work: Callable[[], Any]) -> Turn:
        """A turn of two parts: the GPU's nanoseconds a step, and the host's."""

        def taken() -> tuple[int, ...]:
            if not self.far:
                start = time.perf_counter_ns()
                for _ in range(self.steps):
                    work()
                took = (time.perf_counter_ns() - start) // self.steps
                return took, took
            first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            start = time.perf_counter_ns()
            first.record()
            for _ in range(self.steps):
                work()
            last.record()
            asked = (time.perf_counter_ns() - start) // self.steps
            last.synchronize()
            return int(first.elapsed_time(last) * 1e6 / self.steps), asked

        return taken


class Room:
    """Parameters and gradients on the device. Those of 1B are shared by all: states are each one's own."""

    def __init__(self, shapes: list[tuple[int, ...]], device: torch.device) -> None:
        generator = torch.Generator(device).manual_seed(0)
        make = partial(torch.rand, generator=generator, device=device)
        self.values = [make(shape).sub_(0.5) for shape in shapes]
        self.gradients = [make(shape).sub_(0.5) for shape in shapes]
        self.numel = sum(value.numel() for value in self.values)

    def params(self, own: bool) -> list[torch.nn.Parameter]:
        params = [torch.nn.Parameter(value.clone() if own else value) for value in self.values]
        for p, g in zip(params, self.gradients, strict=True):
            p.grad = g
        return params


def repeatable(optimizer: Any, params: list[torch.nn.Parameter], room: Room) -> Callable[[], Any]:
    """A step that can be taken again. HeavyBall lets go of the gradients: it is given them back, in its time."""
    if all(p.grad is not None for p in params):
        step: Callable[[], Any] = optimizer.step
        return step

    def given_again() -> None:
        for p, g in zip(params, room.gradients, strict=True):
            p.grad = g
        optimizer.step()

    return given_again


def copying(numel: int, states: int, device: torch.device) -> Callable[[], Any]:
    """A copy that moves as many bytes as a step: half of them read, half written."""
    source = torch.rand(max(1, numel * bytes_per_parameter(states) // 8), device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def apart(ours: list[torch.nn.Parameter], theirs: list[torch.nn.Parameter], room: Room) -> float:
    """How far the first tensors ended apart, as a share of the way."""
    way = (ours[0].detach() - room.values[0]).abs().max().item()
    return (ours[0].detach() - theirs[0].detach()).abs().max().item() / max(way, 1e-30)


def measure(way: str, entry: Entry, room: Room, chosen: argparse.Namespace, notes: list[str]) -> dict[str, Any]:
    """One rule: everybody in turn."""
    device, own = room.values[0].device, way != "billion"
    states = len(entry.rule.states) if entry.rule else 0
    found, turns, params = builders(entry, chosen.dry_run, notes), {}, {}
    clock = Clock(device, 2 if chosen.dry_run else 5 if way == "billion" else 50)
    for name, build in found.items():
        params[name] = room.params(own)
        try:
            optimizer = build(params[name])
            optimizer.step()  # with all that is compiled or made in a first step
        except (RuntimeError, ValueError, TypeError, ImportError) as error:  # out of memory is a RuntimeError
            if name == "ours":
                raise
            notes.append(f"{way} {entry.name}: {name} is left out: {str(error).splitlines()[0]}")
            del params[name]
            continue
        turns[name] = clock.turn(repeatable(optimizer, params[name], room))
    turns["copy"] = clock.turn(copying(room.numel, states, device))
    least, seconds = (2, 0.0) if chosen.dry_run else (10, 3.0 if chosen.quick else 10.0)
    rounds = interleave(turns, Pace(seconds=seconds, least=least, most=200, warm_up=1 if chosen.dry_run else 3))
    subjects, host = compared(rounds, 0), compared(rounds, 1)
    for name, own_params in params.items():
        subjects[name]["host_us"] = host[name]["us"]
        if own:
            share = subjects[name]["apart_from_ours"] = apart(params["ours"], own_params, room)
            if not share < 1e-2 and "8 bits" not in name and name not in SMALL:
                notes.append(f"{way} {entry.name}: {name} ended elsewhere than ours did ({share:.1%} of the way)")
    moved = bytes_per_parameter(states) * room.numel
    subjects["ours"]["bytes"] = subjects["copy"]["bytes"] = moved
    for name, (_, size) in SMALL.items():
        if name in subjects:
            subjects[name]["bytes"] = (bytes_per_parameter(0) + 2 * states * size) * room.numel
    return {
        "shape": way,
        "rule": entry.name,
        "parameters": room.numel,
        "tensors": len(room.values),
        "bytes": moved,
        "gb_per_s": moved / subjects["ours"]["us"]["median"] / 1e3,
        "rounds": len(rounds["ours"]),
        "subjects": subjects,
    }


def check(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The goals: the worst of the rules that each names."""
    lines = []
    for text, way, rules, own, peer, least in GOALS:
        rows = [] if results["dry_run"] else results["steps"]
        ratios = [
            row["subjects"][peer]["times_ours"]["median"] / row["subjects"][own]["times_ours"]["median"]
            for row in rows
            if row["shape"] == way and row["rule"] in rules and {own, peer} <= row["subjects"].keys()
        ]
        verdict = "not measured" if not ratios else "met" if min(ratios) >= least else "missed"
        lines.append((text, f">= {least:g}", f"{min(ratios):.3g}" if ratios else "-", verdict))
    return lines


def markdown(results: dict[str, Any]) -> str:
    """All that was measured."""
    parts = [f"# The step on {results['card']}, {results['date']}\n\n- {results['versions']}"]
    if results["dry_run"]:
        parts[0] += "\n- a dry run in Triton's interpreter: it shows that the bench runs, and no speed"
    for way in dict.fromkeys(row["shape"] for row in results["steps"]):
        rows = [row for row in results["steps"] if row["shape"] == way]
        parts.append(f"## {way}: {rows[0]['parameters']:,} parameters in {rows[0]['tensors']} tensors")
        lines = [
            (
                f"{row['rule']}: {name}",
                spread(one["us"]),
                spread(one.get("host_us")),
                spread(one["times_ours"]),
                number(one["bytes"] / one["us"]["median"] / 1e3) if "bytes" in one else "",
            )
            for row in rows
            for name, one in row["subjects"].items()
        ]
        parts.append(table(("", "GPU, us a step", "host, us a step", "time / ours", "GB/s"), lines))
    parts.append("## Goals\n\n" + table(("goal", "limit", "measured", "verdict"), check(results)))
    if results["notes"]:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in results["notes"]))
    return "\n\n".join(parts) + "\n"


def rules(names: str) -> Iterator[Entry]:
    yield from (Entry.of(name) for name in (names.split(",") if names else RULES))


def main(chosen: argparse.Namespace) -> int:
    """Measure all; results are written after every one."""
    if not chosen.dry_run and not torch.cuda.is_available():
        print("step.py --device cuda: torch sees no GPU; --dry-run tries the bench on the CPU", file=sys.stderr)
        return 1
    device = torch.device("cpu" if chosen.dry_run else "cuda")
    card = "the CPU" if chosen.dry_run else torch.cuda.get_device_name(device)
    results: dict[str, Any] = {
        "card": card,
        "date": datetime.date.today().isoformat(),
        "dry_run": chosen.dry_run,
        "quick": chosen.quick,
        "versions": f"torch {torch.__version__}, CUDA {torch.version.cuda}",
        "steps": [],
        "notes": [],
    }
    stem = f"cuda-{re.sub('[^a-z0-9]+', '-', card.lower())}-{results['date']}" + ("-quick" if chosen.quick else "")
    for way, shapes in (TINY if chosen.dry_run else WAYS).items():
        room = Room(shapes, device)
        for entry in rules(chosen.rules):
            if device.type == "cuda":
                torch.cuda.empty_cache()
            results["steps"].append(measure(way, entry, room, chosen, results["notes"]))
            row = results["steps"][-1]
            ratios = {name: one["times_ours"]["median"] for name, one in row["subjects"].items() if name != "ours"}
            told = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
            print(f"{way} {entry.name}: {row['gb_per_s']:,.0f} GB/s; times ours: {told}", file=sys.stderr, flush=True)
            if not chosen.dry_run:
                written.write(results, markdown(results), chosen.out, stem)
        del room
    print(markdown(results))
    return 0
