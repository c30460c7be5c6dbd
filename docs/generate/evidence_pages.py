"""The pages of docs/evidence/ from its data file, which benchmarks/evidence.py makes.

To make them anew: python docs/generate/evidence_pages.py; with --check it says which differ, and changes nothing.
"""

from __future__ import annotations

import gzip
import json
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from evidence_words import code, in_a_word, interval, judged, measured, of_rule, setting, table, unit, words

HOME = Path(__file__).parents[1] / "evidence"
DATA = HOME / "evidence.json.gz"
FACTORS = {"a tenth of the best": 0.1, "a third": 1 / 3, "3 x": 3.0, "10 x": 10.0}
BUDGETS = (1, 2, 4, 8, 13)
BESIDE, AT = "adamw", 4  # with which the others are paired, at which budget
COMMAND = "python benchmarks/evidence.py"
REGRET = (
    "Regret is 0 for the best end on validation of any run on the task, 1 for the median of the learning rates that "
    "were spread over the rules' ranges, and 2 at most; what failed has 2."
)


def read() -> Any:
    return json.loads(gzip.decompress(DATA.read_bytes()))


def index(data: Any) -> str:
    made, tasks = data["made"], data["tasks"]
    runs = sum(len(study["runs"]) for study in data["studies"].values())
    ran = [rule for rule in data["rules"] if any(rule not in one["refusals"] for one in tasks.values())]
    kinds = len({each["kind"] for each in tasks.values()})
    seeds = {study["spec"]["protocol"]["finalist_seeds"] for study in data["studies"].values()}
    regimes = [
        [name, one["hyperparameters"].replace(",", ", ") if one["trials"] > 1 else "nothing", str(one["trials"])]
        for name, one in data["regimes"].items()
    ]
    return "\n".join(
        [
            "# Evidence: which optimizer when",
            "",
            f"{len(ran)} rules on {len(tasks)} small tasks of {kinds} kinds in {len(regimes)} regimes: "
            f"{runs:,} runs of about a hundred steps each ({made['cpu']}, Python {made['versions']['python']}, torch "
            f"{made['versions']['torch']}, {made['date']}). Nothing here says anything of large models or long runs; "
            "and in so few steps a default that takes large ones has an advantage.",
            "",
            "The other pages of this file of runs: [every cell](cells.md), "
            "[what a bad learning rate costs](sensitivity.md), [the best of k configurations](budget.md).",
            "",
            table(["regime", "what is tuned, where a rule has it", "configurations of each rule"], regimes, left=2),
            "",
            "Each study is one `thalweg compare` ([the protocol](../protocol.md)): a search on one seed, the rule's "
            f"best configuration on {' or '.join(map(str, sorted(seeds)))} fresh seeds, the same for all rules, and "
            "paired differences of test values to the leader, which is chosen on validation. *Worse*, *equivalent* and "
            "*undecided* are [the lab's words](../statistics.md#what-is-claimed): corrected for the number of rules, "
            "and for luck in leading and in tuning. Within a regime all rules have as many runs; beside each other the "
            "regimes have not.",
            "",
            "## In short",
            "",
            *in_short(data),
            "",
            "## By kind of task",
            "",
            "One verdict over a kind's tasks ([how](../statistics.md#several-tasks-one-verdict)). What is undecided is "
            "parted by the plain 95 % interval of its paired difference to the leader: where that holds 0, the rule is "
            "tied with the leader as far as these seeds tell, or scatters too much to tell; where it is below 0, it is "
            "probably worse, but of so many rules some are by chance. Names are in the order of the catalogue, not of "
            "merit.",
            "",
            "The unit is a task's margin: half a point of accuracy, of another metric 1 % of the test value of the "
            "task's leader. The difference is the mean over the kind's tasks by the weights in the second table: 1, "
            "or less where the median rule's validation lies more than ten margins behind the best. Where leaders "
            "end near 0 a margin is next to nothing, and such a task can carry a verdict alone: *in the difference* "
            "is each task's share in how far those that are worse lie behind, in the median.",
            "",
            *by_kind(data),
            "## By rule",
            "",
            "On how many tasks a rule leads or is equivalent or better / is undecided / is worse / failed on a fresh "
            "seed. In the order of the catalogue.",
            "",
            by_rule(data),
            "",
            "## What is undecided, and why",
            "",
            "How many more fresh seeds would decide a pair with 80 % power, as far as the seeds so far tell. Where "
            "none would, the difference is smaller than what tuning leaves to chance (then more finalists tell, not "
            "more seeds), or more than a thousand are needed.",
            "",
            undecided(data),
            "",
            "## The tasks",
            "",
            table(
                ["task", "kind", "what it is", "steps"],
                [
                    [f"`{name}`", one["kind"], one["about"].rstrip("."), str(one["steps"])]
                    for name, one in tasks.items()
                ],
                left=3,
            ),
            "",
            "Their code is in `benchmarks/evidence_tasks.py`.",
            "",
            "## Empty cells",
            "",
            *missing(data),
            "",
            "## Make it, go on, replay a cell",
            "",
            f"    nice {COMMAND}             all of it; rerun it to resume, whatever stopped it",
            f"    {COMMAND} --seeds 16       more fresh seeds: only those that are missing are run",
            f"    {COMMAND} --write          the data file, of the studies that are finished",
            "    python docs/generate/evidence_pages.py     these pages",
            "",
            "A cell is a task, a regime and a rule. Its runs on fresh seeds again, beside the numbers in the file:",
            "",
            f'    {COMMAND} --replay attention adamw --regime "lr tuned"',
            "",
            "They agree to five digits on the machine that made them. Another processor or another torch rounds "
            "otherwise, and at high learning rates that becomes another run. `attention` and `factors` are made of "
            "Python's own library: another Python is other data.",
            "",
        ]
    )


def in_short(data: Any) -> list[str]:
    """In sentences, what the counts say."""
    lines = []
    for regime in data["regimes"]:
        found = judged(data, regime)
        count = Counter(words(row for one in found.values() for row in one["rows"].values()))
        pairs = count.total() - count["leads"]
        rest = count["failed"] + count["not judged"]
        on = {rule: own for rule in data["rules"] if (own := of_rule(data, regime, rule))}
        ran = [rule for rule, own in on.items() if len(own) == len(found)]
        never = [rule for rule in ran if not {"worse", "failed", "not judged"} & set(words(on[rule].values()))]
        fewer = ", ".join(f"`{rule}` ({len(own)})" for rule, own in on.items() if len(own) < len(found))
        lines.append(
            f"- **{regime}**, {len(found)} tasks: of {pairs} pairs of a rule and its task's leader {count['worse']} "
            f"are worse, {count['equivalent']} equivalent, {count['better']} better, {count['undecided']} undecided; "
            f"{rest} failed or could not be judged. Of the rules that ran on all {len(found)}, shown to be worse "
            f"on none and failed on none: {code(never, ran)}.{f' On fewer ran {fewer}.' if fewer else ''}"
        )
    return lines


def by_kind(data: Any) -> list[str]:
    lines = []
    for kind, regimes in data["together"].items():
        tasks = [name for name, one in data["tasks"].items() if one["kind"] == kind]
        rows = []
        for regime, found in regimes.items():
            part = f", {code(found['tasks'])} alone" if len(found["tasks"]) < len(tasks) else ""
            rows.append([regime + part, *of_kind(data, found["rows"])])
        heads = ["regime", "leads", "equivalent or better", "undecided, its interval holds 0", "undecided, below 0"]
        heads += ["worse", "failed or not run"]
        lines += [f"### {kind[0].upper()}{kind[1:]}: {code(tasks)}", "", table(heads, rows, left=len(heads)), ""]
        heads = ["regime", "a margin", "weight", "in the difference"]
        lines += [
            table(heads, [[name, *weighed(data, name, one["tasks"])] for name, one in regimes.items()], left=4),
            "",
        ]
    return lines


def weighed(data: Any, regime: str, tasks: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """What a margin is, what it weighs and what it makes of the difference, each task by task."""
    metric = {name: judged(data, regime)[name]["metric"] for name in tasks}
    cells = (
        {name: unit(one["margin"], metric[name]) for name, one in tasks.items()},
        {name: f"{one['weight']:.2g}" for name, one in tasks.items()},
        {name: f"{round(100 * one['share'])} %" for name, one in tasks.items() if one["share"] is not None},
    )
    return [", ".join(f"`{name}` {text}" for name, text in each.items()) or "none is worse" for each in cells]


def of_kind(data: Any, found: Mapping[str, Any]) -> list[str]:
    """A row of names: what is undecided is parted by the plain interval, which no number of rules has widened."""
    ran = [rule for rule in data["rules"] if rule in found]
    own: dict[str, list[str]] = {}
    for rule in ran:
        word, gap = in_a_word(found[rule]["verdict"]), found[rule]["difference"]
        if word == "undecided" and gap and gap[1] is not None and gap[0] + gap[1] < 0:
            word = "below"
        own.setdefault(word, []).append(rule)
    groups = (
        ("leads",),
        ("equivalent", "better"),
        ("undecided",),
        ("below",),
        ("worse",),
        ("failed", "not run", "not judged"),
    )
    return [code([rule for word in group for rule in own.get(word, [])], ran) for group in groups]


def by_rule(data: Any) -> str:
    rows = []
    for rule in data["rules"]:
        cells = []
        for regime in data["regimes"]:
            own = Counter(words(of_rule(data, regime, rule).values()))
            good, rest = own["leads"] + own["equivalent"] + own["better"], own["failed"] + own["not judged"]
            cells.append(f"{good} / {own['undecided']} / {own['worse']} / {rest}" if own else "")
        rows.append([f"`{rule}`", *cells])
    return table(["rule", *data["regimes"]], rows)


def undecided(data: Any) -> str:
    rows = []
    for regime in data["regimes"]:
        cells = [row for one in judged(data, regime).values() for row in one["rows"].values()]
        open_ = [row["more_seeds"] for row in cells if in_a_word(row["verdict"]) == "undecided"]
        known = sorted(more for more in open_ if more)
        counts = (
            len(open_),
            sum(more <= 8 for more in known),
            sum(8 < more <= 50 for more in known),
            sum(more > 50 for more in known),
            len(open_) - len(known),
        )
        rows.append([regime, *map(str, counts), f"{median(known):.0f}" if known else ""])
    heads = ["regime", "undecided", "1 to 8 more", "9 to 50", "more than 50", "none would", "median, where known"]
    return table(heads, rows)


def missing(data: Any) -> list[str]:
    """Rules that a task cannot have, with the reason; studies that are not there."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for name, one in data["tasks"].items():
        for rule, reason in one["refusals"].items():
            tasks.setdefault((rule, reason), []).append(name)
    rows = [
        [f"`{rule}`", "all" if len(names) == len(data["tasks"]) else code(names), reason]
        for (rule, reason), names in tasks.items()
    ]
    lines = [table(["rule", "tasks", "why"], rows, left=3)]
    for regime in data["regimes"]:
        if absent := [name for name in data["tasks"] if name not in judged(data, regime)]:
            lines += [
                "",
                f"Not made yet in the regime *{regime}*: {code(absent, list(data['tasks']))}. `{COMMAND}` goes on.",
            ]
    return lines


def cells(data: Any) -> str:
    lines = [
        "# Evidence: every cell",
        "",
        "Mean test values on fresh seeds, each with its 95 % interval; verdicts are of the paired differences to the "
        "regime's leader, *+n* the fresh seeds that are likely to decide. In the order of the catalogue. "
        "[What this is](index.md).",
        "",
    ]
    for name, one in data["tasks"].items():
        found = {regime: own[name] for regime in data["regimes"] if name in (own := judged(data, regime))}
        if not found:
            continue
        metric, larger = (next(iter(found.values()))[what] for what in ("metric", "larger"))
        what = f"{metric.replace('_', ' ')}, {'higher' if larger else 'lower'} is better"
        heads, rows = ["rule"], []
        for regime in found:
            heads += [regime, *(["at"] if regime != "defaults" else []), "verdict"]
        for rule in data["rules"]:
            line = [f"`{rule}`"]
            for regime, study in found.items():
                row = study["rows"].get(rule)
                at = f"{setting(row['settings'])}{' (edge)' if row['on_edge'] else ''}" if row else ""
                value, verdict = (measured(*row["test"], metric), row["verdict"]) if row else ("", "")
                line += [value, *([at] if regime != "defaults" else []), verdict]
            rows.append(line)
        lines += [f"## {name}", "", f"{one['about']} In {what}.", "", table(heads, rows, left=len(heads)), ""]
    return "\n".join(lines)


def at(line: Sequence[Sequence[float]], rate: float) -> float | None:
    """Regret at a rate, on a straight line in its logarithm; None beyond what was tried."""
    for (low, first), (high, second) in pairwise(line):
        if low * (1 - 1e-9) <= rate <= high * (1 + 1e-9):
            return first + math.log(rate / low) / math.log(high / low) * (second - first)
    return None


def sensitivity(data: Any) -> str:
    rows = []
    for rule in data["rules"]:
        own = [row for row in of_rule(data, "lr tuned", rule).values() if row["lr"] and row["regret"] is not None]
        if not own:
            continue
        wide = [row["decades"] for row in own if row["decades"]]
        least = "at least " if 2 * sum(low or high for _, low, high in wide) > len(wide) else ""
        costs = []
        for factor in FACTORS.values():
            more = [value - row["regret"] for row in own if (value := at(row["by_lr"], row["lr"] * factor)) is not None]
            costs.append(f"{interval(more, '+')} ({len(more)})" if more else "")
        default = interval([row["default"] - row["regret"] for row in own], "+")
        rows.append([f"`{rule}`", f"{least}{median(each[0] for each in wide):.1f}" if wide else "", *costs, default])
    return "\n".join(
        [
            "# Evidence: what a bad learning rate costs",
            "",
            "From the regime *lr tuned*: eight rates a rule and task on one seed, so the rows say more than single "
            "cells could. [What this is](index.md).",
            "",
            f"{REGRET} The columns say by how much it rises from that of the rule's own best rate: the mean over tasks "
            "with the 95 % interval of tasks drawn at random; in brackets on how many tasks rates so far from the best "
            "were tried. Between rates a straight line is taken. *Decades*: the median width of the rates within 5 % "
            "of the best.",
            "",
            table(["rule", "decades", *FACTORS, "its default"], rows),
            "",
        ]
    )


def budget(data: Any) -> str:
    beside = of_rule(data, "all tuned", BESIDE)
    rows = []
    for rule in data["rules"]:
        own = of_rule(data, "all tuned", rule)
        own = {name: row for name, row in own.items() if len(row["best_of"]) >= BUDGETS[-1]}
        if not own:
            continue
        means = [interval([row["best_of"][k - 1] for row in own.values()]) for k in BUDGETS]
        default = interval([row["default"] for row in own.values()])
        pairs = [
            row["best_of"][AT - 1] - beside[name]["best_of"][AT - 1] for name, row in own.items() if name in beside
        ]
        rows.append([f"`{rule}`", str(len(own)), default, *means, "" if rule == BESIDE else interval(pairs, "+")])
    return "\n".join(
        [
            "# Evidence: the expected best of k configurations",
            "",
            "Sivaprasad et al. (2020, arXiv:1910.11758): an optimizer is as good as what a budget of tuning finds. "
            f"From the regime *all tuned*: the {BUDGETS[-1]} configurations of a rule that were spread over its space "
            "before any was tried, on one seed. The expected best of k of them is an exact count of all choices. "
            "[What this is](index.md).",
            "",
            f"{REGRET} Means over tasks with the 95 % interval of tasks drawn at random. The last column is paired "
            f"over tasks: at k = {AT}, less that of `{BESIDE}`. It is not corrected for the number of rules: of equal "
            "ones, one in twenty would leave 0 outside.",
            "",
            table(["rule", "tasks", "default", *(f"k = {k}" for k in BUDGETS), f"k = {AT}, less `{BESIDE}`"], rows),
            "",
        ]
    )


def pages(data: Any) -> dict[str, str]:
    """Markdown by file name."""
    made = {"index": index, "cells": cells, "sensitivity": sensitivity, "budget": budget}
    return {f"{name}.md": make(data) for name, make in made.items()}


def main(*words: str) -> Any:
    stale = []
    for name, text in pages(read()).items():
        path = HOME / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if "--check" not in words:
                path.write_text(text)
    return (
        f"not what the data says: {', '.join(stale)}; python docs/generate/evidence_pages.py" if words and stale else 0
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
