"""What a task is identified by in a study: its source, its data, its model's shape, how it is trained."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from thalweg.lab.task.digest import bytes_of

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task

DEEP = 4  # how far to look into what an object holds
Plain = str | int | float | complex | bytes | None


def identity(task: Task) -> str:
    """A hash of what the task does. What it has none of leaves no trace: older studies keep their identities."""
    return _hash(text for _, text in _parts(task))


def identity_parts(task: Task) -> dict[str, str]:
    """A hash of each part of it, so that one can tell what has changed."""
    groups: dict[str, list[str]] = {}
    for name, text in _parts(task):
        groups.setdefault(name, []).append(text)
    return {name: _hash(texts) for name, texts in groups.items()}


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode(errors="surrogatepass")).hexdigest()[:16]


def _parts(task: Task) -> Iterator[tuple[str, str]]:
    """By the part of the task it belongs to, all that identifies it."""
    yield "source", task.source
    plain = (task.name, task.metric_name, str(task.larger_is_better), str(task.batch_size), task.device)
    yield from (("settings", text) for text in plain)
    yield from (("functions", text_of(item)) for item in (task.model, task.loss, task.metric))
    yield from (("data", f"{name}: {part.fingerprint()}") for name, part in sorted(task.sources.items()))
    model = task.build(0)
    yield "model", str(model)
    yield "model", text_of(type(model)) if _is_user_defined(type(model)) else ""
    for name, tensor in model.state_dict().items():
        yield "model", f"{name} {tuple(tensor.shape)} {tensor.dtype}"
    yield from (("settings", f"{name}: {value}") for name, value in task.describe_run().items())
    yield from (("functions", text_of(item)) for item in (task.schedule, task.augment, task.groups) if item is not None)


def text_of(item: Any, deep: int = DEEP) -> str:
    """What makes a function, a class or an object what it is, as text that is the same in every process.

    A function's source and the values it was given when it was made; an object's class and what it holds.
    """
    if isinstance(item, str):
        return item
    if isinstance(item, Plain):
        return repr(item)
    if deep == 0:
        return type(item).__qualname__
    inner = partial(text_of, deep=deep - 1)
    if isinstance(item, Tensor):
        return hashlib.sha256(bytes_of(item)).hexdigest()
    if isinstance(item, Mapping):
        return f"{{{', '.join(f'{inner(key)}: {inner(value)}' for key, value in item.items())}}}"
    if isinstance(item, tuple | list):
        return f"({', '.join(map(inner, item))})"
    if isinstance(item, partial):
        return f"{inner(item.func)}{inner(item.args)}{inner(item.keywords)}"
    if inspect.ismethod(item):
        return f"{inner(item.__func__)}{inner(item.__self__)}"
    if inspect.isclass(item) or inspect.isroutine(item):
        return _source(item) + _given(item, deep - 1)
    own = text_of(type(item), deep) if _is_user_defined(type(item)) else type(item).__qualname__
    if isinstance(item, nn.Module):
        state = item.state_dict()
        return f"{own} {item}{inner(state) if state else ''}"
    return f"{own} {inner(getattr(item, '__dict__', {}))}"


def _is_user_defined(kind: type) -> bool:
    return kind.__module__.split(".")[0] != "torch"


def _source(item: Any) -> str:
    """Its source, or the code it compiles to, or its name where neither is there."""
    try:
        return inspect.getsource(item)
    except (OSError, TypeError):
        code = getattr(item, "__code__", None)
        return f"{code.co_code!r}{code.co_names}" if code else getattr(item, "__qualname__", type(item).__qualname__)


def _given(function: Any, deep: int) -> str:
    """What a function was given when it was made: its closure and its defaults."""
    cells = getattr(function, "__closure__", None) or ()
    held = [
        *(getattr(function, "__defaults__", None) or ()),
        *(getattr(function, "__kwdefaults__", None) or {}).items(),
    ]
    for cell in cells:
        try:
            held.append(cell.cell_contents)
        except ValueError:  # not set yet
            continue
    return text_of(held, deep) if held else ""
