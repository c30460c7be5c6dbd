"""A study's files as they are read: what is damaged is said in a line, and nothing of it is run or imported."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from thalweg.lab.errors import StudyError
from thalweg.lab.passwords import without_passwords
from thalweg.lab.study import validation
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Curve, Status, Trial

NAMES_OF_0_1 = {"knobs": "hyperparameters"}
TASKS = "tasks.json"  # names the studies of a comparison over several tasks: see `tasks`
LISTED = 8  # studies that a message names
ANEW = "choose another --out, or delete the folder to start over"


def completed(spec: Mapping[str, Any]) -> Spec:
    """A spec from the disk, with what earlier versions did not write: they could only compare."""
    old = {"hyperparameters": ["lr"], "budget": None} if "verb" not in spec else {}
    protocol = {**old, **renamed(spec)["protocol"]}
    if isinstance(source := protocol.get("from_optuna"), str):  # earlier versions kept its password
        protocol["from_optuna"] = without_passwords(source)
    return cast("Spec", {"verb": "compare", **spec, "task": {**spec["task"]}, "protocol": protocol})


def renamed(spec: Any) -> Any:
    """A spec as it is on the disk, with today's names: 0.1 said "knobs" for hyperparameters."""
    if not isinstance(spec, dict) or not isinstance(protocol := spec.get("protocol"), dict) or "knobs" not in protocol:
        return spec
    return {**spec, "protocol": {NAMES_OF_0_1.get(name, name): value for name, value in protocol.items()}}


def read_spec(folder: Path) -> Spec:
    """What a study was asked.

    Raises:
        StudyError: for a folder that is not a study's, or a damaged one.
    """
    spec = find_spec(folder)
    if spec is None and not folder.exists():
        raise StudyError(f"folder: no folder {folder}; {_known_studies()}")
    if spec is None:
        if inner := sorted(str(each.parent) for each in folder.glob("*/spec.json")):
            raise StudyError(f"folder: {folder} is not a study but holds {len(inner)}; name one: {', '.join(inner)}")
        raise StudyError(
            f"folder: {folder} is not a study folder: it has no spec.json; `thalweg compare --out` makes one"
        )
    return spec


def _known_studies() -> str:
    """The studies where they usually are, to choose from."""
    usual = Path("studies")
    found = sorted(str(path.parent) for name in ("spec.json", TASKS) for path in usual.glob(f"*/{name}"))
    if not found:
        return "`thalweg compare TASK --out FOLDER` makes one"
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return f"those there are: {', '.join(found[:LISTED])}{more}"


def find_spec(folder: Path) -> Spec | None:
    """The spec in a folder, if there is one."""
    found = read_json(folder / "spec.json", lambda value: "" if value is None else _spec_fault(renamed(value)))
    return None if found is None else completed(found)


def read_versions(folder: Path) -> dict[str, Any]:
    """With what a study was made."""
    return read_json(folder / "versions.json", lambda value: "" if value is None else validation.VERSIONS(value)) or {}


def read_trials(path: Path, mend: bool = False) -> dict[str, Trial]:
    """Every finished trial of a study. A last line that a kill cut short is not one; `mend` cuts it off.

    Raises:
        StudyError: for a line in the middle that cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read: {why(error)}") from None
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].splitlines()
    trials: dict[str, Trial] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if wrong := validation.trial(record):
                raise ValueError(wrong.removeprefix("."))
            trial = _trial_from(record)
        except (ValueError, RecursionError) as error:
            if number == len(lines):  # a power cut can leave a last line of the right length and the wrong bytes
                whole -= len(line) + 1
                break
            raise StudyError(
                f"{path}, line {number}: cannot be read ({why(error)}); delete the line to run it again"
            ) from None
        if trial.id not in trials or trials[trial.id].status is Status.INTERRUPTED:  # which is tried again
            trials[trial.id] = trial
    if mend and whole < len(data):
        with open(path, "r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
    return trials


def check_together(folder: Path, spec: Spec, trials: Iterable[Trial]) -> None:
    """The trials must be of the optimizers that the spec has.

    Raises:
        StudyError: for one that is not.
    """
    for trial in trials:
        if trial.optimizer not in spec["optimizers"]:
            raise StudyError(
                f"{folder}: trial {trial.id} is of {trial.optimizer}, which spec.json does not have; {ANEW}"
            )


def read_json(path: Path, fault: Callable[[Any], str]) -> Any:
    """What a file holds, None where no file is there.

    Raises:
        StudyError: for a file that cannot be read, or holds something else than it must.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StudyError(f"{path}: cannot be read: {why(error)}") from None
    except (ValueError, RecursionError) as error:
        null = f" ({error})" if "\0" in str(path) else ""
        raise StudyError(f"{path}: cannot be read{null}; {ANEW}") from None
    if value is None:
        raise StudyError(f"{path}: cannot be read: it holds null; {ANEW}")
    if wrong := fault(value):
        raise StudyError(f"{path}: is damaged: {wrong.removeprefix('.').removeprefix(': ')}; {ANEW}")
    return value


def to_json(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become the strings "NaN", "Infinity" and "-Infinity"."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)


def _spec_fault(value: Any) -> str:
    parts = ("task", "protocol")
    if not isinstance(value, Mapping) or not all(isinstance(value.get(part), Mapping) for part in parts):
        return ": must be an object with a task, optimizers and a protocol"
    return validation.spec(completed(value))


def _trial_from(record: dict[str, Any]) -> Trial:
    curve = {name: [_number(value) for value in values] for name, values in record["curve"].items()}
    tests = {name: _number(record[name]) for name in ("test_loss", "test_metric")}
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in record["settings"].items()}  # betas
    return Trial(**{**record, **tests, "settings": settings, "curve": Curve(**curve)})


def _number(value: Any) -> Any:
    return validation.NUMBERS[value] if isinstance(value, str) else value


def why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
