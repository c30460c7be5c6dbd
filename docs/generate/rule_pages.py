"""A page for each rule, from the rule: equations, hyperparameters, state, departures, source, speed, evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typeset
from thalweg.catalogue import CATALOGUE, Entry

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SHAPES = {"small": "101k parameters in 4 tensors", "tensors": "1.9M in 350 tensors", "large": "124M in 148 tensors"}


def table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(each.replace("|", "\\|") for each in line) + " |" for line in lines)


def page(entry: Entry) -> str:
    """Markdown of a rule's page."""
    rule = entry.rule
    assert rule is not None
    sections = [
        f"# {rule.title}\n",
        f"`{rule.name}` in the lab and on the command line. In a script:\n\n```py\noptimizer = {entry.line()}\n```\n",
        f"**Source.** {rule.source}\n",
    ]
    if rule.paper:
        sections.append(f"## Equations\n\n{typeset.paper(rule.paper)}\n")
    sections.append(f"## What happens to each element\n\n{typeset.code(rule.per_element)}\n")
    sections.append(f'??? note "The code, as every engine runs it"\n\n{indented(rule.equations)}\n')
    sections.append(f"## Hyperparameters\n\n{hyperparameters(entry)}\n")
    sections.append(f"## State\n\n{states(entry)}\n")
    if rule.departures:
        sections.append(f"## Departures\n\n{rule.departures}\n")
    sections.append(f"## Speed\n\n{speed(rule.name)}\n")
    sections.append(f"## Evidence\n\n{evidence(entry)}\n")
    return "\n".join(sections)


def indented(code: str) -> str:
    return "\n".join("    " + line for line in ["```py", *code.splitlines(), "```"])


def hyperparameters(entry: Entry) -> str:
    rule = entry.rule
    assert rule is not None
    rows = []
    for name, each in rule.hyperparameters.items():
        low_high = each.search
        searched = f"{low_high[0]:g} to {low_high[1]:g}" if low_high else "no"
        rows.append([f"`{name}`", f"`{each.default!r}`", str(each.valid), searched])
    decay = {
        "coupled": "`weight_decay` joins the gradient; with `decoupled_weight_decay=True` it shrinks the weight.",
        "decoupled": "`weight_decay` shrinks the weight by lr * weight_decay (decoupled).",
        "own": "`weight_decay` is part of the equations.",
    }[rule.decay]
    return table(["name", "default", "allowed", "searched by the lab"], rows) + f"\n\n{decay}"


def states(entry: Entry) -> str:
    rule = entry.rule
    assert rule is not None
    names = [*rule.states, *rule.matrices]
    if not names:
        return "None."
    rows = [[f"`{name}`", f"`{rule.torch_names[name]}`", small(rule.moments.get(name))] for name in names]
    return table(["in the equations", "in a checkpoint", "8-bit state"], rows)


def small(kind: str | None) -> str:
    return {None: "no", "slow": "no: too slow for 8 bits; bfloat16"}.get(kind, "yes")


def newest(pattern: str) -> Any:
    found = [json.loads(path.read_text()) | {"file": path.with_suffix(".md").name} for path in RESULTS.glob(pattern)]
    full = [each for each in found if not each["file"].removesuffix(".md").endswith(("-quick", "-part", "-state"))]
    return max(full, key=lambda each: str(each["date"]))


def speed(name: str) -> str:
    results = newest("step-*.json")
    rows = []
    for row in results["steps"]:
        if row["rule"] == name:
            subjects = row["subjects"]
            against = [
                f"{subjects[peer]['times_ours']['median']:.2g} x" if peer in subjects else "-"
                for peer in ("default", "fused")
            ]
            stream = subjects.get("stream")
            share = f"{stream['times_ours']['median']:.0%}" if stream else "-"
            rows.append([SHAPES[row["shape"]], f"{subjects['ours']['us']['median']:.4g} µs", *against, share])
    if not rows:
        return "Not in the newest run of `benchmarks/step.py`: more than one kernel a step, or newer than the run."
    heading = ["model", "a step", "torch's default takes", "torch's fused takes", "share of the stream's speed"]
    cpu = results["machine"]["cpu"]
    return (
        table(heading, rows)
        + f"\n\n{cpu}, {results['machine']['threads']} threads, {results['date']}: medians of interleaved runs. "
        + f"[All figures](../../../benchmarks/results/{results['file']}), "
        + "[how it is measured](../../../benchmarks/README.md)."
    )


def evidence(entry: Entry) -> str:
    """What benchmarks/results says of the rule's quality, and which oracle judges it."""
    lines = [
        "- Every engine is compared with `reference`, and `reference` with an oracle written from the paper "
        "(`tests/papers*.py`) or with torch."
    ]
    results = newest("quality-*.json")
    name = getattr(entry.optimizer, "__name__", "")
    rows = [row for row in results["rows"] if row["optimizer"] == name and not entry.settings]
    if rows:
        cells = []
        for row in rows:
            means = {kind: sum(ends) / len(ends) for kind, ends in row["ends"].items()}
            cells.append(
                [row["network"], f"{row['lr']:g}", *(f"{means[kind]:.4g}" for kind in ("float32", "bfloat16", "int8"))]
            )
        lines += [
            f"- Where runs end with small state, {results['seeds']} seeds, mean loss on held-out data "
            f"([all figures](../../../benchmarks/results/{results['file']})):\n",
            table(["network", "lr", "float32 state", "bfloat16", "int8"], cells),
        ]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Markdown by address, the list of all rules included."""
    made = {f"reference/rules/{name}.md": page(entry) for name, entry in CATALOGUE.items() if entry.rule}
    rows = []
    for name, entry in CATALOGUE.items():
        if entry.rule:
            rate = entry.default_rate
            rows.append(
                [f"[{name}]({name}.md)", entry.rule.title, "-" if rate is None else f"{rate:g}", entry.rule.source]
            )
    intro = (
        "# Rules\n\nEvery optimizer of the catalogue, each from the file of its rule. "
        "[Which one when](../../which_optimizer.md).\n\n"
    )
    made["reference/rules/index.md"] = intro + table(["name", "what it is", "default lr", "source"], rows) + "\n"
    return made
