"""What a task is identified by in a study: its source, its data, its model's shape, how it is trained."""

from __future__ import annotations

import hashlib
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.lab.task import Task


def identity(task: Task) -> str:
    """A hash of what the task does. What it has none of leaves no trace: older studies keep their identities."""
    parts = [
        task.source,
        task.name,
        task.metric_name,
        str(task.larger_is_better),
        str(task.batch_size),
        task.device,
    ]
    parts += [text_of(item) for item in (task.model, task.loss, task.metric)]
    parts += [f"{name}: {part.fingerprint()}" for name, part in sorted(task.sources.items())]
    model = task.build(0)
    parts += [
        str(model),
        text_of(type(model)) if type(model).__module__.split(".")[0] != "torch" else "",
    ]
    parts += [f"{name} {tuple(tensor.shape)} {tensor.dtype}" for name, tensor in model.state_dict().items()]
    parts += [f"{name}: {value}" for name, value in task.describe_training().items()]
    parts += [text_of(item) for item in (task.schedule, task.augment) if item is not None]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def text_of(item: Any) -> str:
    """The source of a function or class with the plain values it holds, or, without one, the code it compiles to."""
    if isinstance(item, str):
        return item
    if isinstance(item, partial):
        return f"{text_of(item.func)}{item.args}{item.keywords}"
    try:
        return inspect.getsource(item) + _values(item)
    except (OSError, TypeError):
        code = getattr(item, "__code__", None)
        return f"{code.co_code!r}{code.co_consts}{code.co_names}" if code else f"{type(item).__qualname__} {item}"


def _values(function: Any) -> str:
    """The numbers and words that a function was given when it was made: its closure and its defaults."""
    cells = getattr(function, "__closure__", None) or ()
    held = []
    for cell in cells:
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not set yet
            continue
    held += [*(getattr(function, "__defaults__", None) or ())]
    plain = [value for value in held if isinstance(value, str | int | float | tuple) or value is None]
    return f"{plain}" if plain else ""
