"""The report: one HTML file that needs no network, for somebody who was not there."""

from __future__ import annotations

import json
from html import escape

from bokeh.embed import components
from bokeh.resources import Resources

from thalweg.lab.figures import curves, forest, style, sweep
from thalweg.lab.page import SCRIPT, STYLE
from thalweg.lab.results import Comparison, Result
from thalweg.lab.study import to_json
from thalweg.lab.wording import rate

SHOWN = 5  # lines drawn in full at first; a click brings the others
CSS_DASH = {"solid": "solid", "dashed": "dashed", "dotted": "dotted", "dotdash": "dotted"}


def render(found: Result) -> str:
    """The whole page as text."""
    return _comparison(found) if isinstance(found, Comparison) else _plain(found)


def _plain(found: Result) -> str:
    """A page without figures: the answer, the table, how it was found."""
    headings, rows = found.cells()
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    name = escape(found.spec["task"]["name"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Thalweg: {name}</title><style>{STYLE}</style></head><body><main>
<header><p>Thalweg · {found.verb} · <b>{name}</b></p><h1>{escape(found.verdict)}</h1></header>
<pre id="line">{escape(found.line)}</pre>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
<h2>How this was found</h2>
<ul>{notes}</ul>
</main></body></html>
"""


def _comparison(found: Comparison) -> str:
    task = found.spec["task"]
    one_figure = found.unit.name == "loss"  # the metric is the loss: draw it once
    figures = {"sweep": sweep(found, "metric"), "curves": curves(found, "metric"), "forest": forest(found)}
    if not one_figure:
        figures |= {"sweep_loss": sweep(found, "loss"), "curves_loss": curves(found, "loss")}
    script, places = components(figures)
    parts = {name: f'<div class="figure" id="figure-{name}">{place}</div>' for name, place in places.items()}
    losses = ("", "") if one_figure else (parts["sweep_loss"], parts["curves_loss"])
    library = Resources(mode="inline", components=["bokeh"]).render_js()
    seconds = sum(trial.seconds for trial in found.trials)
    threads = found.versions["threads"]["threads"]
    threads = f"{threads} thread{'s' * (threads > 1)}"
    price = f"{len(found.trials)} trainings in {seconds / 60:.1f} minutes on {threads}"
    preset, name = escape(found.spec["protocol"]["preset"]), escape(task["name"])
    spec = escape(json.dumps(to_json({**found.spec, "versions": found.versions}), indent=2))
    notes = "".join(f"<li>{escape(note)}</li>" for note in found.notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Thalweg: {name}</title><style>{STYLE}</style>
{library}</head><body><main>
<header><p>Thalweg · which optimizer for <b>{name}</b>? · {preset} · {price}</p>
<h1>{escape(found.verdict)}</h1></header>
<div class="paste"><pre id="line">{escape(found.line)}</pre><button id="copy">copy</button></div>
{_table(found)}
<h2>The learning-rate sweep</h2>
<p>What each setting ends at on validation. A dot is one seed, the ring marks the
optimizer's default, a cross at the edge a run that diverged or crashed. The axis shows the good end.</p>
{_chips(found)}
<div class="pair">{parts["sweep"]}{losses[0]}</div>
<h2>The finalists' curves</h2>
<p>Each optimizer at its best learning rate, on fresh seeds: the median, and the band from the
worst seed to the best. The dashed line is the target of steps-to-target.</p>
<div class="pair">{parts["curves"]}{losses[1]}</div>
<h2>Paired differences</h2>
<p>Test {escape(found.unit.name)} minus the leader's, seed by seed, with 95 % intervals. Inside the grey
band a difference does not matter. Blue: practically equal; red: worse; green: better; grey: undecided.</p>
{parts["forest"]}
<h2>How this was found</h2>
<ul>{notes}</ul>
{_trials(found)}
<details><summary>Spec and versions</summary><pre>{spec}</pre></details>
</main>{script}<script>{SCRIPT}</script></body></html>
"""


def _key(place: int) -> str:
    colour, dash = style(place)
    return f'<span class="key" style="border-top-style:{CSS_DASH[dash]};border-color:{colour}"></span>'


def _table(found: Comparison) -> str:
    headings, rows = found.cells()
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = ""
    for place, (name, *cells) in enumerate(rows):
        body += f"<tr><td>{_key(place)}{escape(name)}</td>"
        for heading, cell in zip(headings[1:], cells, strict=True):
            word = cell.split()[0].strip(",:").replace("practically", "equal") if heading == "verdict" else ""
            body += f'<td class="{word}">{escape(cell)}</td>'
        body += "</tr>"
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _chips(found: Comparison) -> str:
    chips = "".join(
        f'<button data-optimizer="{escape(row.optimizer)}" aria-pressed="{str(place < SHOWN).lower()}">'
        f"{_key(place)}{escape(row.optimizer)}</button>"
        for place, row in enumerate(found.rows)
    )
    top = f'<button class="all" id="top">first {SHOWN}</button>'
    return f'<div class="chips">{top}<button class="all" id="all">all</button>{chips}</div>'


def _trials(found: Comparison) -> str:
    headings = [
        "optimizer",
        "lr",
        "seed",
        "phase",
        "status",
        f"validation {found.unit.name}",
        "steps",
        "seconds",
        "message",
    ]
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(str(cell))}</td>"
            for cell in (
                t.optimizer,
                rate(t.settings.get("lr", float("nan"))),
                t.seed,
                t.phase,
                t.status,
                found.unit.value(t.metric),
                t.steps,
                f"{t.seconds:.2f}",
                t.message or "",
            )
        )
        + "</tr>"
        for t in found.trials
    )
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    return (
        f"<details><summary>All {len(found.trials)} trainings</summary>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )
