"""Results as Markdown, and the goals they are held against. Needs nothing but the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]
NAMES = {
    "ours": "thalweg",
    "default": "torch",
    "foreach": "torch foreach",
    "fused": "torch fused",
    "deepspeed": "DeepSpeed",
}
BYTES = {"float32": 28.0, "bfloat16": 20.0, "int8": 16.0 + 4 / 256}  # an Adam step moves, for each parameter
PEERS = tuple(NAMES)[1:]
SUBJECTS = (*NAMES, "stream")


@dataclass(frozen=True)
class Goal:
    """One number to reach; `measure` gives None where the results do not hold it."""

    text: str
    measure: Callable[[Results], float | None]
    limit: float
    at_most: bool

    def line(self, results: Results) -> tuple[str, str, str, str]:
        """Text, goal, measured, verdict."""
        value = self.measure(results)
        sign = "<=" if self.at_most else ">="
        if value is None:
            return self.text, f"{sign} {self.limit:g}", "-", "not measured"
        met = value <= self.limit if self.at_most else value >= self.limit
        return self.text, f"{sign} {self.limit:g}", f"{value:.3g}", "met" if met else "missed"


def ratio(shape: str, rule: str, subject: str) -> Callable[[Results], float | None]:
    """The subject's time over ours."""

    def measure(results: Results) -> float | None:
        for row in results.get("steps", ()):
            if (row["shape"], row["rule"]) == (shape, rule) and subject in row["subjects"]:
                return float(row["subjects"][subject]["times_ours"]["median"])
        return None

    return measure


def inverse(measure: Callable[[Results], float | None]) -> Callable[[Results], float | None]:
    """Our time over the subject's."""

    def measured(results: Results) -> float | None:
        value = measure(results)
        return None if value is None else 1 / value

    return measured


def at(*path: str, scale: float = 1.0) -> Callable[[Results], float | None]:
    """A number somewhere in the results."""

    def measure(results: Results) -> float | None:
        found: Any = results
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return None if found is None else float(found) * scale

    return measure


def against(size: str, slow: str = "") -> Callable[[Results], float | None]:
    """The time of torch's fused Adam, or of a slow one, over that with int8 state."""

    def measure(results: Results) -> float | None:
        for row in results.get("small", ()):
            if row["size"] == size and row["state"] == "int8":
                found = row["slow"].get(slow) if slow else row["subjects"]["fused"]
                return float(found["times_ours"]["median"]) if found else None
        return None

    return measure


def _goals() -> Iterable[Goal]:
    yield Goal("Adam, small: time / torch fused", inverse(ratio("small", "adam", "fused")), 0.45, True)
    yield Goal("Adam, small: time / DeepSpeed", inverse(ratio("small", "adam", "deepspeed")), 1.0, True)
    yield Goal("Adam, tensors: time / torch fused", inverse(ratio("tensors", "adam", "fused")), 0.5, True)
    yield Goal("Adam, large: speed / torch fused", ratio("large", "adam", "fused"), 0.97, False)
    yield Goal("Adam, large: speed / stream", ratio("large", "adam", "stream"), 0.95, False)
    for rule, least in (("radam", 4), ("nadam", 4), ("adadelta", 4), ("adamax", 4), ("rmsprop", 2.5)):
        yield Goal(f"{rule}, large: speed / torch", ratio("large", rule, "default"), least, False)
        yield Goal(f"{rule}, large: time / stream", inverse(ratio("large", rule, "stream")), 1.15, True)
    ours = ("training", "subjects", "ours")
    yield Goal("Adam in training: step() in ms", at(*ours, "step_us", "median", scale=1e-3), 0.6, True)
    yield Goal("Adam in training: added to the passes, in ms", at(*ours, "added_us", "median", scale=1e-3), 0.6, True)
    yield Goal("first step in s, cold", at("first_step", "cold", "first_step"), 3.0, True)
    yield Goal("first step in s, warm", at("first_step", "warm", "first_step"), 0.3, True)


def _small_goals() -> Iterable[Goal]:
    yield Goal("Adam, int8 state, 124M: speed / torch fused float32", against("124M"), 1.3, False)
    for name in ("torchao", "bitsandbytes"):
        yield Goal(f"Adam, int8 state, 124M: speed / {name}", against("124M", name), 25, False)


GOALS, SMALL_GOALS = tuple(_goals()), tuple(_small_goals())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def check(results: Results) -> tuple[str, bool]:
    """The goals with met, missed or not measured; and whether none was missed."""
    lines = [goal.line(results) for goal in (SMALL_GOALS if "small" in results else GOALS)]
    return table(("goal", "limit", "measured", "verdict"), lines), all(line[-1] != "missed" for line in lines)


def number(value: float) -> str:
    """Three or more digits, no fewer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values: dict[str, Any] | None) -> str:
    """Median (quartiles)."""
    if values is None:
        return "-"
    low, high = values["quartiles"]
    return f"{number(values['median'])} ({number(low)}-{number(high)})"


def _times(rows: Sequence[dict[str, Any]]) -> str:
    """Microseconds a step of each subject."""
    present = [name for name in SUBJECTS if any(name in row["subjects"] for row in rows)]
    head = ("rule", *(NAMES.get(name, "stream of the bytes") for name in present), "rounds")
    lines = [
        (
            row["rule"],
            *(spread(row["subjects"].get(name, {}).get("us")) for name in present),
            str(row["rounds"]),
        )
        for row in rows
    ]
    return table(head, lines)


def _ratios(rows: Sequence[dict[str, Any]]) -> str:
    """How many times as fast as each peer, and how near to the stream."""
    present = [name for name in PEERS if any(name in row["subjects"] for row in rows)]
    head = (
        "rule",
        *(f"x {NAMES[name]}" for name in present),
        "bytes/parameter",
        "GB/s",
        "share of the stream",
    )
    lines = [
        (
            row["rule"],
            *(spread(row["subjects"].get(name, {}).get("times_ours")) for name in present),
            str(row["bytes_per_parameter"]),
            f"{row['gb_per_s']:.1f}",
            f"{row['subjects']['stream']['times_ours']['median']:.0%}",
        )
        for row in rows
    ]
    return table(head, lines)


def _shape(shape: str, results: Results) -> str:
    rows = [row for row in results["steps"] if row["shape"] == shape]
    return (
        f"## {shape}: {rows[0]['parameters']:,} parameters in {rows[0]['tensors']} tensors\n\n"
        f"Microseconds a step: median (quartiles) over the rounds.\n\n{_times(rows)}\n\n"
        f"Their time / our time, within each round: 2 means that ours is twice as fast.\n\n{_ratios(rows)}"
    )


def _training(part: dict[str, Any]) -> str:
    keys = ("whole_us", "step_us", "added_us", "whole_times_ours")
    rows = [(NAMES.get(name, name), *(spread(row[key]) for key in keys)) for name, row in part["subjects"].items()]
    head = ("Adam by", "whole step, us", "`step()`, us", "added to the passes alone, us", "whole / ours")
    size = f"{part['parameters']:,} parameters in {part['tensors']} tensors"
    title = f"## A training step: {part['network']}; {size}"
    return f"{title}\n\nMedian (quartiles) over {part['rounds']} rounds.\n\n{table(head, rows)}"


def small_table(row: dict[str, Any]) -> str:
    """Adam with each kind of state, of one size."""
    head = ("Adam", "bytes moved", "ms", "least ms", f"time / {row['state']}", "GB/s")
    lines = []
    for name, each in row["subjects"].items():
        moved = BYTES["float32" if name == "fused" else name]
        median, least, ratio_ = each["us"]["median"] / 1e3, row["least_us"][name] / 1e3, each["times_ours"]["median"]
        called = "torch fused, float32" if name == "fused" else f"thalweg, {name}"
        rate = moved * row["parameters"] / median / 1e6
        lines.append((called, f"{moved:.3g}", f"{median:.1f}", f"{least:.1f}", f"{ratio_:.2f}", f"{rate:.0f}"))
    for name, each in row["slow"].items():
        median = each["us"]["median"] / 1e3
        lines.append((f"{name}, 8 bits", "", f"{median:,.0f}", "", f"{each['times_ours']['median']:.1f}", ""))
    return table(head, lines)


def _small(rows: Sequence[dict[str, Any]]) -> str:
    text = "## Small state: Adam"
    for row in rows:
        text += f"\n\n{row['parameters']:,} parameters, {row['rounds']} rounds in turn.\n\n{small_table(row)}"
    return text


def _first_step(part: dict[str, Any]) -> str:
    keys = list(part["cold"])
    head = ("kernel cache", *(f"{key.replace('_', ' ')}, s" for key in keys))
    rows = [(kind, *(f"{part[kind][key]:.3g}" for key in keys)) for kind in ("cold", "warm")]
    title = "## The first step: Adam, 101,770 parameters"
    return f"{title}\n\nMedian of {part['repeats']}.\n\n{table(head, rows)}"


def _head(results: Results) -> str:
    machine, versions = results["machine"], results["versions"]
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return (
        f"# The step of every rule, {results['date']}\n\n"
        f"- {machine['cpu']} ({machine['instructions']}), {machine['cores']} cores, "
        f"{machine['threads']} threads, {machine['memory_gb']} GB memory; {caches}; {machine['system']}\n"
        f"- {installed}{'' if versions['deepspeed'] else '; no DeepSpeed'}\n"
        f"- load average {results['load']['start']} at the start, {results['load']['end']} at the end; "
        f"{results['seconds']:.0f} s" + ("; --quick: few rounds" if results["quick"] else "")
    )


def markdown(results: Results) -> str:
    """All that was measured."""
    shapes = dict.fromkeys(row["shape"] for row in results["steps"])
    parts = [_head(results), *(_shape(shape, results) for shape in shapes)]
    if "training" in results:
        parts.append(_training(results["training"]))
    if "small" in results:
        parts.append(_small(results["small"]))
    if "first_step" in results:
        parts.append(_first_step(results["first_step"]))
    parts.append(f"## Goals\n\n{check(results)[0]}")
    if results["notes"]:
        parts.append("## Notes\n\n" + "\n".join(f"- {note}" for note in results["notes"]))
    return "\n\n".join(parts) + "\n"
