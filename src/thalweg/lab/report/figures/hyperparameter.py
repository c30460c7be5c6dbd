"""One hyperparameter of a tuning: what each setting ended at, against the hyperparameter's value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.lab.report.configuration import in_words
from thalweg.lab.report.figures.axes import bad_edge, hover, valued
from thalweg.lab.report.figures.highlight import table
from thalweg.lab.report.figures.measure import Measure, short
from thalweg.lab.report.figures.palette import COLORS, GREY, VERDICTS
from thalweg.lab.search.configurations import Candidate

Values = Mapping[int, float]  # by a setting's index


def hyperparameter(
    candidates: Sequence[Candidate], values: Values, label: str, measure: Measure, tuned: int, log: bool = True
) -> Any:
    """Every run a dot, the default in a ring, the tuned setting in color, a cross at the bad edge what failed.

    `values` are on a logarithmic axis, and above 0, unless `log` is false; a setting that has none is left out.
    """
    ends = [measure.value(trial) for candidate in candidates for trial in candidate.trials]
    figure = valued(label, measure, ends, log_x=log, height=300)
    dots: dict[str, list[Any]] = {name: [] for name in ("x", "y", "color", "size", "ring", "setting", "which", "seed")}
    crosses: dict[str, list[Any]] = {name: [] for name in ("x", "y", "setting", "what")}
    floor = bad_edge(figure, 0, 1, measure.larger_is_better)
    for candidate in sorted(candidates, key=lambda candidate: candidate.index == tuned):  # the tuned one lies on top
        value = values.get(candidate.index)
        if value is None or (log and value <= 0):
            continue
        for trial in candidate.trials:
            said = in_words(trial.settings, trial.batch_size)
            if not trial.done:
                _add(crosses, x=short(value), y=short(floor), setting=said, what=trial.status)
                continue
            mine = candidate.index == tuned
            _add(
                dots,
                x=short(value),
                y=short(measure.value(trial)),
                color=COLORS[0] if mine else GREY,
                size=10 if mine else 6,
                ring=15 if candidate.index == 0 else 0,
                setting=said,
                which="tuned" if mine else "its default" if candidate.index == 0 else f"trial {candidate.index}",
                seed=trial.seed,
            )
    data = table(dots)
    ring = {"marker": "diamond", "size": "ring", "fill_color": None, "line_color": COLORS[1], "line_width": 1.8}
    figure.scatter("x", "y", source=data, **ring)
    shown = figure.scatter("x", "y", source=data, size="size", color="color", alpha=0.85)
    cross = {"marker": "x", "size": 9, "line_color": VERDICTS["worse"], "line_width": 2}
    failed = figure.scatter("x", "y", source=table(crosses), **cross)
    hover(figure, shown, "@which", ("setting", "@setting"), (measure.name, "@y"), ("seed", "@seed"))
    hover(figure, failed, "@what", ("setting", "@setting"))
    return figure


def _add(columns: dict[str, list[Any]], **cells: Any) -> None:
    for name, cell in cells.items():
        columns[name].append(cell)
