"""How a comparison was done, in plain lines for somebody who was not there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.lab.arguments import length, several
from thalweg.lab.judging.rows import Table
from thalweg.lab.judging.statistics import Judgement
from thalweg.lab.judging.wording.numbers import Unit, beyond, course, duration
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Status, Trial


def describe(spec: Spec, table: Table, trials: Sequence[Trial], unit: Unit) -> list[str]:
    """The protocol as it was run, what the columns mean, what went wrong, what was not tested."""
    return [
        *_protocol(spec),
        *_run_notes(spec),
        *_columns(spec, table, unit),
        *_decided(table),
        *_trouble(table, trials),
        *_untested(spec),
    ]


def _protocol(spec: Spec) -> list[str]:
    protocol, task = spec["protocol"], spec["task"]
    cut = f" Cut to fit a budget of {length(protocol['budget'])}." if protocol.get("budget") else ""
    best = "configuration" if protocol["finalists"] == 1 else f"{protocol['finalists']} configurations"
    return [
        f"Equal budgets: each optimizer got {protocol['trials']} {_search_notes(protocol)} (its default first, "
        "then log-spaced ones from its own search range, the last few around the best or up to a "
        f"decade past the edge) on {several(protocol['seeds'], 'seed')}, and its best {best} got "
        f"{several(protocol['finalist_seeds'], 'fresh seed')}; {course(task)} each. "
        f"{_tuned(protocol)}{cut}",
        "Configurations and the leader were chosen on validation, at the end of training; the test set was read "
        "once by each finalist. All optimizers share their seeds, so differences are paired.",
        data_note(task),
    ]


def _search_notes(protocol: Mapping[str, Any]) -> str:
    return "learning rates" if protocol.get("hyperparameters", ["lr"]) == ["lr"] else "configurations"


def _tuned(protocol: Mapping[str, Any]) -> str:
    others = list(protocol.get("hyperparameters", ["lr"]))[1:]
    if not others:
        return "Only the learning rate was tuned."
    return f"Tuned beside the learning rate, where an optimizer has them: {', '.join(others)}."


def _run_notes(spec: Spec) -> list[str]:
    options = dict(spec["task"].get("training", {}))
    without, refuse = options.pop("without_weight_decay", []), options.pop("left_out", [])
    result = [f"All runs: {', '.join(f'{name} {value}' for name, value in options.items())}."] if options else []
    if "patience" in options:
        result.append(
            f"Early stopping: a run ends after {several(options['patience'], 'epoch')} without a better validation "
            "metric, and its best epoch counts, for the test set too."
        )
    if without:
        result.append(f"Without weight decay, as they have no such setting: {', '.join(without)}.")
    if refuse:
        result.append(f"Left out, as they refuse the sparse gradients of this model: {', '.join(refuse)}.")
    return result


def _columns(spec: Spec, table: Table, unit: Unit) -> list[str]:
    target, level = unit.value(table.target), 1 - spec["protocol"]["alpha"]
    near = f"{100 * table.margin:.2g} points" if unit.percent else f"{table.margin:.3g}"
    return [
        f"Intervals are {level:.0%} t-intervals over fresh seeds, each on its own. Verdicts are stricter: they allow "
        f"for {several(len(table.rows), 'optimizer')} (Holm), for a leader and configurations that were chosen partly "
        "by luck. "
        f"Equivalent: surely nearer than {near}. More seeds: as many as are needed for 80 % power.",
        f"Steps to target: until validation {unit.name} first reaches {target} at an epoch's end, which is "
        "the median, over the optimizers, of what their default setting ends at. A miss counts as never.",
        f"Equivalent lr: learning rates next to the best that are nearer to it on validation than {near} or one seed "
        "deviation. Sensitivity, in decades: the same within 5 % or one seed deviation. Stable to: the highest "
        "one tried with no failure at or below it. Failed: the share of the search that crashed, ran out of memory "
        "or diverged (not finite, or losses far above the first ones).",
        "Expected best of k: the mean over all ways to choose k of the configurations spread before any was tried, "
        "without the default; a configuration that failed counts as the worst in this study.",
    ]


def _decided(table: Table) -> list[str]:
    """How many of the pairs with the leader the evidence decides; where fewer than half, what half would take."""
    leader, others = table.rows[0], table.rows[1:]
    if not others:
        return []
    judged = [row.judgement for row in others if row.judgement]
    if not judged:
        who = "every optimizer" if leader.failed_finals else "every optimizer but the leader"
        return [f"No pair was judged: {who} failed on a fresh seed."]
    failed = [row.optimizer for row in others if not row.judgement]
    apart = f" Not judged, for a fresh seed that failed: {', '.join(failed)}." if failed else ""
    open_ = [each for each in judged if each.verdict == "undecided"]
    of = f"of {several(len(judged), 'pair')} with the leader.{apart}"
    lacking = -(-len(judged) // 2) - (len(judged) - len(open_))
    if lacking <= 0:
        return [f"Decided: {len(judged) - len(open_)} {of}"]
    return [f"Not decided: {len(open_)} {of} {_half(open_, len(judged), lacking, table.seconds_a_seed)}"]


def _half(open_: Sequence[Judgement], pairs: int, lacking: int, seconds_a_seed: float) -> str:
    """What deciding so many more would take, which make half of the pairs."""
    half = "half of them" if pairs > 1 else "it"
    if open_[0].difference.n < 2:
        return f"One seed cannot decide {'any' if pairs > 1 else 'it'}."
    more = sorted(each.more_seeds for each in open_ if each.more_seeds)
    if len(more) < lacking:
        return f"No number of seeds is known that would decide {half}."
    seeds = more[lacking - 1]
    time = f", {duration(seeds * seconds_a_seed)}" if math.isfinite(seconds_a_seed) else ""
    return f"To decide {half} takes about {several(seeds, 'more seed')}{time}."


def _trouble(table: Table, trials: Sequence[Trial]) -> list[str]:
    edge = [row.optimizer for row in table.rows if row.on_edge]
    result = [f"Not fully tuned, optimum on the edge of what was tried: {', '.join(edge)}."] if edge else []
    return result + _failures(table) + failures(trials)


def _failures(table: Table) -> list[str]:
    """How many runs failed, each kind by its name."""
    failed = {row.optimizer: row.failures for row in table.rows if row.failures}
    lines = [
        f"{name} {', '.join(f'{number} x {status}' for status, number in ends.items())}"
        for name, ends in failed.items()
    ]
    return [f"Runs that failed: {'; '.join(lines)}."] if lines else []


def _untested(spec: Spec) -> list[str]:
    return [f"Not tested: {beyond(spec['task'])}, other batch sizes, other hyperparameters, schedules."]


def data_note(task: Mapping[str, Any]) -> str:
    """How many rows each part of the data has, and how it came about."""
    if "loop" in task:
        how = "the function" if task["loop"] == "function" else f"the command {task['loop']}"
        return (
            f"Each run is {how} of your own, with its own data: what it reports as {task['metric']} chooses, and the "
            "same decides, on seeds that the search has not seen. A replay is equal to the bit only where the loop is."
        )
    return "Data: " + "; ".join(f"{name} {text}" for name, text in task["data"].items()) + "."


def failures(trials: Sequence[Trial]) -> list[str]:
    """What went wrong in each optimizer's runs beside diverging: how often, and what was said last."""
    kinds: dict[tuple[str, Status], list[Trial]] = {}
    for trial in trials:
        if trial.status not in ("done", "diverged"):
            kinds.setdefault((trial.optimizer, trial.status), []).append(trial)
    return [
        f"{name} {status.in_words}: {len(failed)} of "
        f"{several(sum(t.optimizer == name for t in trials), 'run')}; the last said: "
        + "; ".join((failed[-1].message or "").splitlines())
        for (name, status), failed in kinds.items()
    ]
