"""The optimizers of a study: from what the user named to catalogue entries, into the study's spec, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from thalweg import lookup
from thalweg.lab.errors import LabError, first_line
from thalweg.lab.random.seeds import FRESH
from thalweg.lab.study.records import to_json
from thalweg.lab.task.own_loop import PLACEHOLDER, OwnLoop, script
from thalweg.lab.training.spec import OptimizerSpec, Spec

if TYPE_CHECKING:
    from thalweg.catalogue import Entry
    from thalweg.lab.task.task import Task


TORCH_TAKES_SPARSE = (torch.optim.SGD, torch.optim.Adagrad, torch.optim.SparseAdam)

# What people choose between: the classics, Adam and what is put in its place, and one that needs no learning rate.
USUAL = (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "rmsprop",
    "adam",
    "adamw",
    "nadam",
    "radam",
    "lion",
    "schedule_free_adamw",
    "prodigy",
)
ALL = "all"  # the rest of the catalogue too


def resolve(optimizers: Any, task: Task | None = None) -> list[Entry]:
    """Catalogue entries for what the user named, each once.

    Args:
        optimizers: None stands for the usual dozen, "all" for the catalogue: of either, what takes the gradients of the
            task's model. Where these are sparse so few do that None stands for them all.

    Raises:
        LabError: for an unknown name, one named twice, or none at all.
    """
    from thalweg.catalogue import Entry

    if isinstance(task, OwnLoop):
        if task.makes_optimizer:
            if optimizers is not None:
                raise LabError("command: must have {optimizer} in it: the script would not know which to train with")
            return [Entry(task.name, script)]
        if optimizers is None:
            raise LabError("optimizers: got none; must name some: of a loop of your own every run may take long")
    if optimizers is None or optimizers in (ALL, [ALL], (ALL,)):
        optimizers = _by_default(task, everything=optimizers is not None)
    if isinstance(optimizers, str):
        optimizers = lookup.listed(optimizers)
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


def one_of(optimizer: Any, task: Task) -> list[Entry]:
    """The entry of the one optimizer that is asked for.

    Raises:
        LabError: for none, and for several: which command takes these.
    """
    asks = "must be one, such as --optimizer adam; `thalweg compare TASK --optimizers adam,sgd` takes several"
    if optimizer is None and not (isinstance(task, OwnLoop) and task.makes_optimizer):
        raise LabError(f"optimizer: got none; {asks}", then=("for one", {"--optimizer": "adam"}))
    entries = resolve(optimizer, task)
    if len(entries) > 1:
        names = [entry.name for entry in entries]
        some = ", ".join(names[:4]) + (" and more" if len(names) > 4 else "")
        raise LabError(f"optimizer: got {len(names)} ({some}); {asks}")
    return entries


def check_fit(task: Task, entries: Sequence[Entry]) -> None:
    """LabError for optimizers that refuse the parameters of the task's model or their gradients: each of their runs
    would fail."""
    from thalweg.catalogue import CATALOGUE

    if isinstance(task, OwnLoop):  # nobody knows its model
        return
    refusals = {entry.name: reason for entry in entries if (reason := _refusal(task, entry)) is not None}
    if refusals:
        able = [name for name, entry in CATALOGUE.items() if _refusal(task, entry) is None]
        told = "; ".join(f"{name}: {reason}" for name, reason in refusals.items())
        raise LabError(
            f"optimizers: cannot step this task's model: {told}; of the catalogue these can: {', '.join(able)}"
        )


def _refusal(task: Task, entry: Entry) -> str | None:
    """Why an optimizer of ours or torch's cannot step the task's model; None where it can, or nobody knows."""
    if task.groups is not None and entry.takes_model:
        return "makes its own parameter groups; the task has groups"
    if entry.takes_model:
        return _refusal_of_a_part(task, entry)
    kinds = task.gradients_are_sparse.values()
    theirs = getattr(torch.optim, getattr(entry.optimizer, "__name__", ""), None) is entry.optimizer
    if True in kinds and not (entry.takes_sparse and (not theirs or entry.optimizer in TORCH_TAKES_SPARSE)):
        return "refuses sparse gradients"
    if False in kinds and (not entry.takes_dense or entry.optimizer is torch.optim.SparseAdam):
        return "takes sparse gradients alone"
    if theirs or (entry.rule is not None and entry.rule.unfit is not None):
        try:
            entry.build([p for p in task.build(0).parameters() if p.requires_grad])
        except ValueError as error:
            return first_line(error)
    return None


def _refusal_of_a_part(task: Task, entry: Entry) -> str | None:
    """The same of an optimizer that steps each of the model's parameters by the rule of its role."""
    model = task.build(0)
    try:
        made: Any = entry.build(model)
    except ValueError as error:
        return first_line(error)
    for name, p in model.named_parameters():
        sparse = task.gradients_are_sparse.get(name)
        rule = made.rule_of(p) if sparse is not None else None
        if rule is not None and sparse and not rule.sparse:
            return f"{rule.name}, which would step {name}, refuses its sparse gradients"
        if rule is not None and not sparse and rule.sparse == "only":
            return f"{rule.name}, which would step {name}, takes sparse gradients alone"
    return None


def _by_default(task: Task | None, everything: bool) -> list[Entry]:
    from thalweg.catalogue import CATALOGUE

    sparse = task is not None and task.sparse_gradients
    return [
        entry
        for name, entry in CATALOGUE.items()
        if entry.takes_all
        and (entry.takes_sparse if sparse else entry.takes_dense)
        and (everything or sparse or name in USUAL)
    ]


def left_out(task: Task, entries: Sequence[Entry]) -> list[str]:
    """Of a comparison of the whole catalogue, what refuses the sparse gradients of the task's model."""
    from thalweg.catalogue import CATALOGUE

    whole = task.sparse_gradients and list(entries) == resolve(ALL, task)
    return [name for name, entry in CATALOGUE.items() if whole and not entry.takes_sparse]


def describe(entry: Entry) -> OptimizerSpec:
    """An entry as the spec has it; a class that is not the catalogue's own is named with its module."""
    from thalweg.catalogue import listed

    described: OptimizerSpec = {
        "class": entry.optimizer.__qualname__,
        "settings": dict(entry.settings),
        "lr": {"default": entry.default_rate, "search": list(entry.search("lr") or ()) or None},
    }
    if listed(entry.name) != entry:
        described["module"] = entry.optimizer.__module__
    return described


def rebuild(name: str, described: Mapping[str, Any], given: Any = None) -> Entry:
    """The entry that a spec describes, to be run: the catalogue's or torch's own; any other has to be given.

    Raises:
        LabError: for a class of somebody's own that is not given, or another one.
    """
    if given is None:
        if entry := known_entry(name, described):
            return entry
        raise LabError(
            f"optimizer: {name} is code of {described.get('module', '?')}, which would run here; if you trust it, name "
            f"it: --optimizer {described.get('module', '?')}:{described['class']}"
        )
    (entry,) = resolve([given])
    if not _describes(described, entry):
        raise LabError(f"optimizer: {entry.name} is not the study's {name} any more, or another class")
    return entry


def known_entry(name: str, described: Mapping[str, Any]) -> Entry | None:
    """The entry that a spec describes where it is the catalogue's or torch's own; nothing is imported for it."""
    from thalweg.catalogue import Entry, listed

    try:
        stem, own = lookup.apart(name)
    except ValueError:
        return None
    theirs = getattr(torch.optim, described["class"], None) if stem.startswith("torch.") else None
    if stem == "hybrid":
        try:
            return entry if _describes(described, entry := Entry.of(name)) else None
        except ValueError:
            return None
    if known := listed(stem):
        entry = known
    elif isinstance(theirs, type) and issubclass(theirs, torch.optim.Optimizer):
        entry = Entry.of(theirs)
    else:
        return None
    if own or entry.name != name:
        entry = Entry(name, entry.optimizer, {**entry.settings, **own}, entry.rule)
    return entry if _describes(described, entry) else None


def _describes(described: Mapping[str, Any], entry: Entry) -> bool:
    """Whether this is the entry, whose range of search may be another by now: a run does not depend on it."""

    def run(one: Mapping[str, Any]) -> dict[str, Any]:
        return {**one, "lr": {"default": one["lr"].get("default")}} if "lr" in one else dict(one)

    return run(to_json(describe(entry))) == run(described)


def paste(spec: Spec, name: str, settings: Mapping[str, Any], batch_size: int | None = None) -> str:
    """The line to paste into a training script, made from the spec alone: a study may be anybody's.

    It is what was measured: the task's weight decay is in it, and what is no optimizer's setting stands behind it.
    """
    task = spec["task"]
    if "loop" in task and task["loop"] != "function":
        return _filled(task["loop"], name, spec, settings)
    of_loop = _of_loop(spec)
    mine = {key: value for key, value in settings.items() if key not in of_loop}
    beside = {key: value for key, value in settings.items() if key in of_loop}
    training = dict(task.get("training", {}))
    asked = bool(training)
    decay = training.pop("weight_decay", None)
    described = spec["optimizers"][name]
    if decay is not None and name not in training.pop("without_weight_decay", []):
        mine = {**({} if "weight_decay" in described["settings"] else {"weight_decay": decay}), **mine}
    training.pop("left_out", None)
    grouped = training.pop("groups", None)
    batch = batch_size if batch_size is not None else task["batch_size"] if asked else None
    beside |= {**training, **({} if batch is None else {"batch_size": batch})}
    behind = ", ".join(f"{key}={value}" for key, value in beside.items())
    line = _line(name, described, mine)
    if grouped is not None:
        line = line.replace("model.parameters()", f"{grouped if grouped.isidentifier() else 'groups'}(model)", 1)
    return line + (f"  # with {behind}" if behind else "")


def _of_loop(spec: Spec) -> set[str]:
    """The hyperparameters that the user's own loop asks for."""
    tuned = spec["protocol"].get("hyperparameters")
    return {name for name, one in tuned.items() if one.get("of_loop")} if isinstance(tuned, Mapping) else set()


def _filled(command: str, name: str, spec: Spec, settings: Mapping[str, Any]) -> str:
    """A study's command with what was found, ready to run: with the seed of a run that the answer is by, in a folder of
    its own."""
    seed = 0 if spec["verb"] == "sweep" else FRESH  # a sweep has no fresh seeds
    values = {"optimizer": name, **spec["optimizers"][name]["settings"], **settings, "seed": seed}
    for key, value in list(values.items()):
        if isinstance(value, tuple | list):
            values |= {f"{key.removesuffix('s')}{place}": part for place, part in enumerate(value, 1)}
            values[key] = ",".join(map(str, value))
    if "{folder}" in command:
        digest = hashlib.sha256(repr((command, sorted(values.items(), key=str))).encode()).hexdigest()[:6]
        values["folder"] = f"best-{digest}"  # one a configuration: it may hold a checkpoint to go on from
        command = f"mkdir -p {values['folder']} && {command}"
    return PLACEHOLDER.sub(lambda match: str(values.get(match.group(1), match.group(0))), command)


def _line(name: str, described: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    if entry := known_entry(name, described):
        return entry.line(**settings)
    module = described.get("module", "torch.optim")
    if module.startswith("torch.optim."):  # torch.optim.adam hides the module of that name
        module = "torch.optim"
    chosen = "".join(f", {key}={value!r}" for key, value in {**pairs(described["settings"]), **settings}.items())
    return f"{module}.{described['class'].rpartition('.')[2]}(model.parameters(){chosen})"


def pairs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings read from JSON, which knows no tuples: betas are pairs again."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
