"""The optimizers of a study: from what the user named to catalogue entries, into the study's spec, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.lab.errors import LabError
from thalweg.lab.studies.study import to_json
from thalweg.spelled import listed

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.task import Task


def resolve(optimizers: Any, task: Task | None = None) -> list[Entry]:
    """Catalogue entries for what the user named, each once; for None all that take the gradients of the task's model.

    Raises:
        LabError: for an unknown name, one named twice, or none at all.
    """
    from thalweg.catalogue import CATALOGUE, Entry

    if optimizers is None:
        sparse = task is not None and task.sparse_gradients
        optimizers = [entry for entry in CATALOGUE.values() if (entry.takes_sparse if sparse else entry.takes_dense)]
    if isinstance(optimizers, str):
        optimizers = listed(optimizers)
    if not isinstance(optimizers, Sequence):
        optimizers = [optimizers]
    try:
        entries = [Entry.of(spec) for spec in optimizers]
    except ValueError as error:
        raise LabError(str(error)) from None
    if not entries:
        raise LabError("optimizers: got none; must name at least one")
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LabError(f"optimizers: {', '.join(twice)} named twice; must be different")
    return entries


def left_out(task: Task, entries: Sequence[Entry]) -> list[str]:
    """Of a comparison of the whole catalogue, what refuses the sparse gradients of the task's model."""
    from thalweg.catalogue import CATALOGUE

    whole = task.sparse_gradients and list(entries) == resolve(None, task)
    return [name for name, entry in CATALOGUE.items() if whole and not entry.takes_sparse]


def describe(entry: Entry) -> dict[str, Any]:
    """An entry as the spec has it; a class that is not the catalogue's own is named with its module."""
    from thalweg.catalogue import CATALOGUE

    own = CATALOGUE.get(entry.name) == entry
    return {
        "class": entry.optimizer.__qualname__,
        **({} if own else {"module": entry.optimizer.__module__}),
        "settings": dict(entry.settings),
        "lr": {"default": default_rate(entry), "search": list(entry.search("lr") or ()) or None},
    }


def rebuild(name: str, described: Mapping[str, Any]) -> Entry:
    """The entry that a spec describes.

    Raises:
        LabError: where its class cannot be found again.
    """
    from thalweg.catalogue import Entry

    try:
        entry = Entry.of(name)
        if to_json(describe(entry)) == described:
            return entry
    except ValueError:
        pass  # a class of its own
    module, place = described.get("module", ""), described["class"]
    try:
        found: Any = import_module(module)
        for part in place.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        raise LabError(f"optimizers: {name} was {module}.{place}, which cannot be imported here") from None
    return Entry(name, found, pairs(described["settings"]))


def paste(spec: Mapping[str, Any], name: str, settings: Mapping[str, Any]) -> str:
    """The line to paste into a training script, made from the spec alone."""
    described = spec["optimizers"][name]
    try:
        return rebuild(name, described).line(**settings)
    except LabError:
        chosen = "".join(f", {key}={value!r}" for key, value in {**pairs(described["settings"]), **settings}.items())
        return f"{described.get('module', 'torch.optim')}.{described['class']}(model.parameters(){chosen})"


def pairs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings read from JSON, which knows no tuples: betas are pairs again."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def default_rate(entry: Entry) -> float | None:
    """The learning rate an optimizer has when nobody sets it; None where it has none."""
    try:
        rate = entry.default("lr")
    except (KeyError, AttributeError, ValueError):
        return None
    return float(rate) if isinstance(rate, int | float) else None
