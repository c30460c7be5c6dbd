"""What the files of a study's folder must hold: a folder comes from a disk, or from somebody else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from thalweg.lab.training.trial import Status

MOST = 10**7  # of anything that is counted: more was never asked for
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # JSON has none of these

Shape = Callable[[Any], str]  # what is wrong with a value, as it goes on after its name; empty where nothing is


def a(kind: str, test: Callable[[Any], bool]) -> Shape:
    """A value that passes a test."""
    return lambda value: "" if test(value) else f": got {_short(value)}; must be {kind}"


def or_none(shape: Shape) -> Shape:
    return lambda value: "" if value is None else shape(value)


def list_of(shape: Shape) -> Shape:
    """A list of such."""

    def look(value: Any) -> str:
        if not isinstance(value, list):
            return f": got {_short(value)}; must be a list"
        return next((f"[{place}]{wrong}" for place, one in enumerate(value) if (wrong := shape(one))), "")

    return look


def by_name(shape: Shape) -> Shape:
    """Such, by any names."""

    def look(value: Any) -> str:
        if not isinstance(value, Mapping):
            return f": got {_short(value)}; must be an object"
        return next((f"{_part(name)}{wrong}" for name, one in value.items() if (wrong := shape(one))), "")

    return look


def named(shape: Shape) -> Shape:
    """Settings: names that Python has, as they are in the line to paste."""
    inner = by_name(shape)

    def look(value: Any) -> str:
        bad = [name for name in value if not name.isidentifier()] if isinstance(value, Mapping) else []
        return f": got the name {_short(bad[0])}; must be an argument's" if bad else inner(value)

    return look


def record(closed: bool = False, /, **shapes: Shape) -> Shape:
    """An object with these parts; `closed`: and no other. A name that ends with `_` may be missing."""
    known = {name.rstrip("_"): shape for name, shape in shapes.items()}
    needed = [name for name in shapes if not name.endswith("_")]

    def look(value: Any) -> str:
        if not isinstance(value, Mapping):
            return f": got {_short(value)}; must be an object"
        missing = [name for name in needed if name not in value]
        if missing:
            return f".{missing[0]}: is missing"
        foreign = [name for name in value if closed and name not in known]
        if foreign:
            return f"{_part(foreign[0])}: is not known"
        return next((f".{name}{wrong}" for name in value if name in known and (wrong := known[name](value[name]))), "")

    return look


def is_number(value: Any) -> bool:
    """Whether this is a number as JSON has it, or one of those that it has not."""
    if isinstance(value, str):
        return value in NUMBERS
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308


def _is_integer(value: Any, least: int = 0, most: float = MOST) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _part(name: str) -> str:
    """The name of a part, as it goes on after the whole's; one without letters would be seen by nobody."""
    return f".{name}" if name.strip() else f"[{name!r}]"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


anything = a("anything", lambda value: True)
text = a("a text", lambda value: isinstance(value, str))
place = a(
    "a dotted name", lambda value: isinstance(value, str) and re.fullmatch(r"[\w.<>]+", value) is not None
)  # it is in the line to paste
truth = a("true or false", lambda value: isinstance(value, bool))
number = a("a number", is_number)
positive = a("a positive number", lambda value: is_number(value) and not isinstance(value, str) and value > 0)
share = a("a number between 0 and 1", lambda value: is_number(value) and not isinstance(value, str) and 0 < value < 1)
amount = a("a number >= 0", lambda value: is_number(value) and not isinstance(value, str) and value >= 0)
count = a("a whole number >= 0", _is_integer)
some = a("a whole number >= 1", lambda value: _is_integer(value, 1))
seed = a("a whole number >= 0", lambda value: _is_integer(value, 0, 2**63))
plain = a(
    "a number, a text, true or false, or a list of numbers",
    lambda value: (
        value is None
        or isinstance(value, bool | str)
        or is_number(value)
        or (isinstance(value, list) and all(map(is_number, value)))
    ),
)
lengthy = or_none(positive)

OPTIMIZER = record(
    **{"class": place},
    module_=place,
    settings=named(plain),
    lr_=record(default_=or_none(number), search_=or_none(list_of(positive))),
)
TASK = record(
    name=text,
    identity=text,
    parts_=by_name(text),
    from_=or_none(text),
    metric=text,
    larger_is_better=truth,
    epochs=some,
    batch_size=some,
    margin=or_none(amount),
    data=by_name(text),
    loop_=text,
    training_=record(
        steps_=some,
        patience_=some,
        without_weight_decay_=list_of(text),
        left_out_=list_of(text),
        lines_=list_of(text),
    ),
)
PROTOCOLS: dict[str, Shape] = {
    "compare": record(
        True,
        preset=text,
        trials=some,
        seeds=some,
        finalists=some,
        finalist_seeds=some,
        alpha=share,
        hyperparameters=list_of(text),
        budget=lengthy,
    ),
    "sweep": record(lr=list_of(positive), points=some, closer=count, seeds=some, extend=truth, budget=lengthy),
    "range-test": record(low=positive, high=positive, steps=some, seeds=some),
    "tune": record(
        method=text,
        hyperparameters=by_name(
            record(low=number, high=number, complement=truth, linear_=truth, options_=list_of(plain), of_loop_=truth)
        ),
        trials=some,
        seeds=some,
        batch=some,
        finalists=some,
        finalist_seeds=some,
        pruner=or_none(text),
        rungs=list_of(some),
        from_optuna=or_none(text),
        try_=list_of(by_name(plain)),
        known=list_of(record(values=by_name(number), score=number)),
        from_study_=text,
        earlier_=list_of(record(values=by_name(number), score=number)),
        order_=list_of(by_name(number)),
        budget=lengthy,
        alpha=share,
    ),
}
CHOICE = record(
    True,
    on=a(
        "a runner's name",
        lambda on: isinstance(on, str) and on.partition(":")[0] in ("alone", "processes", "lanes", "ray", "slurm"),
    ),
    workers_=some,
    lanes_=some,
    threads_=some,
    gain_=or_none(number),
    reason_=text,
)
VERSIONS = record(
    threads_=or_none(record(threads=some, why_=text)),
    runner_=or_none(CHOICE),
    also_run_by_=list_of(CHOICE),
    not_in_lanes_=list_of(text),
    milliseconds_=or_none(by_name(or_none(number))),
    baselines_=or_none(by_name(by_name(number))),
    planned_=count,
    ends_by_=or_none(number),
    wanted_=count,
    cut_=list_of(text),
    resumed_with_=list_of(by_name(anything)),
)
SETTINGS = record(lr_=positive, betas_=list_of(number))
TRIAL = record(
    True,
    id=text,
    phase=text,
    index=count,
    optimizer=text,
    settings=named(plain),
    seed=seed,
    status=a(", ".join(Status), lambda status: status in list(Status)),
    message=or_none(text),
    steps=count,
    curve=record(
        True,
        steps=list_of(count),
        train_loss=list_of(number),
        validation_loss=list_of(number),
        validation_metric=list_of(number),
    ),
    test_loss=or_none(number),
    test_metric=or_none(number),
    seconds=amount,
    started=number,
    batch_size_=or_none(some),
    best_=or_none(count),
    stopped_=truth,
)


def spec(value: Any) -> str:
    """What is wrong with a spec."""
    wrong = record(task=TASK, optimizers=by_name(OPTIMIZER), protocol=by_name(anything), verb_=text)(value)
    if wrong:
        return wrong
    if not value["optimizers"]:
        return ".optimizers: is empty"
    if value["verb"] in ("tune", "range-test") and len(value["optimizers"]) != 1:
        return f".optimizers: {len(value['optimizers'])} of them; {value['verb']} has one"
    protocol = PROTOCOLS.get(value["verb"])  # a verb that is not known is said elsewhere
    return f".protocol{wrong}" if protocol and (wrong := protocol(value["protocol"])) else ""


def trial(value: Any) -> str:
    """What is wrong with a trial."""
    if wrong := TRIAL(value):
        return wrong
    if wrong := SETTINGS(value["settings"]):
        return f".settings{wrong}"
    lengths = {len(column) for column in value["curve"].values()}
    if len(lengths) > 1:
        return ".curve: its columns are not of one length"
    (length,) = lengths
    if value["status"] == "done":
        if not length:
            return ".curve: is empty, but the run is done"
        if (value.get("best") or 0) >= length:
            return f".best: got {value['best']}; must be a place on the curve"
        if value["phase"] == "final" and value["test_metric"] is None:
            return ".test_metric: is missing, but the run is a finalist's"
    return ""
