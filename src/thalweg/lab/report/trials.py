"""The Trials screen: every run in a table that sorts and filters, and what the study was made with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from thalweg.lab.arguments import several
from thalweg.lab.judging.failures import why_failed
from thalweg.lab.judging.wording import Unit
from thalweg.lab.report.configuration import hyperparameters, value
from thalweg.lab.report.markup import in_a_script
from thalweg.lab.report.page import Screen
from thalweg.lab.study.records import to_json
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial

CONTROLS = """<div class="filters">
<input id="find" type="search" placeholder="find: adam 0.001 done" aria-label="find runs">
<select data-column="optimizer" aria-label="optimizer"><option value="">every optimizer</option></select>
<select data-column="phase" aria-label="phase"><option value="">every phase</option></select>
<select data-column="status" aria-label="status"><option value="">every end</option></select></div>
<div class="scroll"><table id="runs"><thead><tr></tr></thead><tbody></tbody></table></div>
<div class="pages"><button id="before">before</button><button id="next">next</button>
<span id="rows-shown" aria-live="polite"></span></div>"""


def screen(trials: Sequence[Trial], unit: Unit, spec: Spec, versions: Mapping[str, Any]) -> Screen:
    """A row a run; below it the spec and the versions, as they are in the study's folder."""
    failed = sum(not trial.done for trial in trials)
    ended = f"{failed} failed, kept in the table" if failed else "none failed"
    seeds = sorted({trial.seed for trial in trials if trial.phase == "final"})
    fresh = f" The fresh seeds are {_seed_ranges(seeds)}." if seeds else ""
    data = in_a_script(to_json(_data(trials, unit)))
    made = escape(json.dumps(to_json({"spec": spec, "versions": versions}), indent=2))
    return Screen(
        "trials",
        "Trials",
        [
            f"<h2>Every run</h2><p>{several(len(trials), 'run')}; {ended}.{escape(fresh)} "
            f'An id names a run: <span class="code">thalweg replay FOLDER ID</span> runs it again.</p>',
            CONTROLS,
            f'<script type="application/json" id="trials-data">{data}</script>',
            *_failures(trials),
            f"<details><summary>Spec and versions</summary><pre>{made}</pre></details>",
        ],
    )


def _failures(trials: Sequence[Trial]) -> list[str]:
    """Why configurations failed, by optimizer; nothing where none did."""
    found = why_failed(trials)
    told = []
    for name, lines in found.items():
        told.append(f"<h3>{escape(name)}</h3><ul>{''.join(f'<li>{escape(line.strip())}</li>' for line in lines)}</ul>")
    return [f"<h2>Why runs failed</h2>{''.join(told)}"] if told else []


def _data(trials: Sequence[Trial], unit: Unit) -> dict[str, Any]:
    """What the page's script shows: columns and rows; what does not exist is null, never left out."""
    scale = 100 if unit.percent else 1
    name = f"{unit.name} (%)" if unit.percent else unit.name
    tuned = hyperparameters(trials)
    columns: list[dict[str, Any]] = [
        {"name": "optimizer", "title": "optimizer"},
        *(
            {"name": f"hyperparameter {hyperparameter}", "title": hyperparameter, "digits": 4}
            for hyperparameter in tuned
        ),
        {"name": "seed", "title": "seed", "fixed": 0},
        {"name": "phase", "title": "phase"},
        {"name": "status", "title": "ended"},
        {"name": "metric", "title": f"validation {name}", "digits": 5},
        *([] if unit.name == "loss" else [{"name": "loss", "title": "validation loss", "digits": 4}]),
        {"name": "test", "title": f"test {name}", "digits": 5},
        {"name": "steps", "title": "steps", "fixed": 0},
        {"name": "seconds", "title": "seconds", "fixed": 2},
        {"name": "id", "title": "id"},
        {"name": "message", "title": "message"},
    ]
    rows = []
    for t in trials:
        test = math.nan if t.test_metric is None else scale * t.test_metric
        losses = [] if unit.name == "loss" else [_number(t.loss)]
        rows.append(
            [
                t.optimizer,
                *(_cell(value(t, hyperparameter)) for hyperparameter in tuned),
                *(t.seed, t.phase, t.status, _number(scale * t.metric), *losses, _number(test)),
                *(t.steps, round(t.seconds, 2), t.id[:8], t.message),
            ]
        )
    return {"columns": columns, "rows": rows}


def _cell(result: Any) -> Any:
    if isinstance(result, bool) or not isinstance(result, int | float):
        return None if result is None else str(result)
    return _number(result)


def _number(result: float) -> float | None:
    return float(f"{result:.6g}") if math.isfinite(result) else None


def _seed_ranges(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
