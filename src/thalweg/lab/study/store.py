"""A study is a folder: a spec, append-only trials with one writer; what a kill leaves is mended."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from thalweg.lab.arguments import several
from thalweg.lab.errors import StudyError
from thalweg.lab.study.records import (
    TASKS,
    check_together,
    completed,
    find_spec,
    read_trials,
    read_versions,
    to_json,
    why,
)
from thalweg.lab.training.spec import Spec
from thalweg.lab.training.trial import Trial

SYNC = 0.5  # seconds: trials that end in a burst share one fsync; a kill of the process needs none
GROWS = {  # more of these may be asked of a study: nothing done before changes
    "compare": {"finalist_seeds": "fresh seed"},
    "sweep": {"seeds": "seed"},
    "tune": {"trials": "trial", "finalist_seeds": "fresh seed"},
}


ABSENT = object()  # in the place of what one of two specs does not have: null is something


class Study:
    """One writer on one folder, as a context manager; the lock goes with the process, however it ends."""

    def __init__(self, folder: Path, spec: Spec, versions: Mapping[str, Any]) -> None:
        self.folder, self.versions = folder, dict(versions)
        self.spec: Spec = {**spec}
        self.trials: dict[str, Trial] = {}
        self.notes: list[str] = []
        self._lock = FileLock(folder / "lock", timeout=0, thread_local=False)
        self._log: io.FileIO | None = None
        self._synced = 0.0
        self._made = False  # the folder, by this study
        self._taken_back = False

    def __enter__(self) -> Study:
        try:
            if self.folder.exists() and not self.folder.is_dir():
                raise StudyError(f"out: {self.folder} is a file; must be a folder")
            if (self.folder / TASKS).exists():
                raise keep_both(self.folder, "holds a comparison over several tasks, each in a folder of its own")
            self._made = not self.folder.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise StudyError(
                f"out: another process is working in {self.folder}; wait for it or choose another"
            ) from None
        except (OSError, UnicodeError) as error:
            raise StudyError(f"out: cannot write to {self.folder}: {why(error)}") from None
        try:
            self._agree_on_spec()
            self._agree_on_versions()
            self.trials = read_trials(self.folder / "trials.jsonl", mend=True)
            check_together(self.folder, self.spec, self.trials.values())
            self._log = open(self.folder / "trials.jsonl", "ab", buffering=0)
        except OSError as error:
            self._lock.release()
            _cannot_write(self.folder, error)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._log is not None:
                self.sync()
                self._log.close()
            if self._taken_back:
                rmtree(self.folder, ignore_errors=True)
        finally:
            self._lock.release()

    def take_back(self) -> None:
        """Leave no folder behind at the end, where this study made it and nothing was run."""
        self._taken_back = self._made and not self.trials

    def add(self, trial: Trial) -> None:
        """Write a trial down for good: no kill of this process loses it when this returns, no power cut after `sync`.

        Raises:
            StudyError: where it cannot be written. The folder is then as it was before.
        """
        assert self._log is not None, "the study is not open"
        line = json.dumps(to_json(asdict(trial)), allow_nan=False).encode() + b"\n"
        size = os.fstat(self._log.fileno()).st_size
        try:
            written = 0
            while written < len(line):
                written += self._log.write(line[written:])
        except BaseException as error:  # half a line, if a full disk took one, must not stay
            os.truncate(self._log.fileno(), size)
            if isinstance(error, OSError):
                _cannot_write(self.folder, error)
            raise
        self.trials[trial.id] = trial
        if time.monotonic() - self._synced > SYNC:
            self.sync()

    def sync(self) -> None:
        """Have the disk hold all that was written."""
        assert self._log is not None, "the study is not open"
        try:
            os.fsync(self._log.fileno())
        except OSError as error:
            _cannot_write(self.folder, error)
        self._synced = time.monotonic()

    def settle(self, name: str, measure: Callable[[], Any]) -> Any:
        """What is measured on this machine once and then kept, so that who resumes finds the same."""
        if self.versions.get(name) is None:
            self.keep(name, measure())
        return self.versions[name]

    def keep(self, name: str, value: Any) -> None:
        """Write down beside the versions how the study was run."""
        self.versions[name] = value
        write_atomically(self.folder / "versions.json", lambda: json.dumps(self.versions, indent=2) + "\n")

    @property
    def parts(self) -> tuple[Path, Spec, dict[str, Any], list[Trial], list[str]]:
        """What a result is made of: folder, spec, versions, trials, notes."""
        return self.folder, self.spec, self.versions, list(self.trials.values()), self.notes

    def _agree_on_spec(self) -> None:
        path = self.folder / "spec.json"
        old = find_spec(self.folder)
        written = path.read_text(encoding="utf-8") if old is not None else ""
        if old is None:
            if any(self.folder.glob("trials.jsonl")):
                raise StudyError(f"out: {self.folder} holds trials but no readable spec.json; choose another --out")
        else:
            before, wanted = completed(old), completed(to_json(self.spec))
            names = GROWS.get(wanted["verb"], {}) if before["verb"] == wanted["verb"] else {}
            for name, what in names.items():
                mine, its = wanted["protocol"].get(name, 0), before["protocol"].get(name, 0)
                if its > mine:
                    self.notes.append(f"the study already has {several(its, what)}: all count")
                before["protocol"][name] = wanted["protocol"][name] = max(mine, its)
            budgets = [spec["protocol"].get("budget") for spec in (before, wanted)]
            if None not in budgets:  # the plan was cut to fit the first; any later one is a deadline alone
                wanted["protocol"]["budget"] = budgets[0]
            before["task"]["from"] = wanted["task"]["from"] = wanted["task"].get("from") or before["task"].get("from")
            if _comparable(before) != _comparable(wanted):
                raise keep_both(self.folder, f"holds a study that was asked something else: {_changes(before, wanted)}")
            self.spec = wanted
        text = json.dumps(to_json(self.spec), indent=2) + "\n"
        if written != text:
            write_atomically(path, lambda: text)

    def _agree_on_versions(self) -> None:
        path = self.folder / "versions.json"
        old = read_versions(self.folder)
        if not old:
            write_atomically(path, lambda: json.dumps(self.versions, indent=2) + "\n")
            return
        mine, self.versions = self.versions, old
        ran = [{name: seen.get(name) for name in mine} for seen in [old, *old.get("resumed_with", [])]]
        if mine not in ran:
            old["resumed_with"] = [*old.get("resumed_with", []), mine]
            write_atomically(path, lambda: json.dumps(old, indent=2) + "\n")
        self.notes += resumed(old)


def _changes(before: Spec, wanted: Spec) -> str:
    """What differs, in words where it is the question or the task itself: a spec's fields tell nobody much."""
    if question := _question(before, wanted):
        return question
    moved = before["protocol"].get("method") != wanted["protocol"].get("method")
    old, new = before["task"].get("parts") or {}, wanted["task"].get("parts") or {}
    parts = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    if not old or not new:  # a study of the time when they were not told apart
        parts = []
    plain = [
        line
        for line in differences(_comparable(before), _comparable(wanted))
        if not (parts and line.startswith("task.identity"))
        if not (moved and line.startswith("protocol.order:"))  # which goes with the method
    ]
    said = [f"the task's {' and '.join(parts)} changed"] if parts else []
    text = "; ".join([*said, *plain])
    if not parts and before["task"]["identity"] != wanted["task"]["identity"]:
        text += " (the task's source, its data or its model has changed)"
    return text


def _question(before: Spec, wanted: Spec) -> str:
    """That the verb, the task or the optimizers are others; empty where they are not."""
    if before["verb"] != wanted["verb"]:
        return f"it is by {before['verb']}; you ask for {wanted['verb']}"
    old, new = before["task"].get("name"), wanted["task"].get("name")
    if old and new and old != new:
        return f"it is on {old}; you ask for {new}"
    mine, its = list(wanted.get("optimizers", ())), list(before.get("optimizers", ()))
    if not mine or set(mine) == set(its):
        return ""
    has = {"compare": "compares", "sweep": "sweeps", "tune": "tunes"}.get(wanted["verb"], "has")
    return f"it {has} {', '.join(its)}; you ask for {', '.join(mine)}"


def alike(before: Spec, wanted: Spec) -> bool:
    """Whether a folder's study is the one that is asked for, or one that may grow into it."""
    old, new = completed(before), completed(to_json(wanted))
    free = set(GROWS.get(new["verb"], {})) | {"known", "order"}
    if new["protocol"].get("method") == "grid":  # a larger grid has other points
        free -= {"trials"}
    if new["protocol"].get("budget") is not None:
        free |= {"trials", "points", "finalists"}  # cut to fit, once
    return _comparable(old, free) == _comparable(new, free)


def _comparable(spec: Spec, free: Container[str] = ()) -> dict[str, Any]:
    """A spec less what may differ: where its task was found, the parts that only tell what its identity's change is,
    and fields of its protocol, in a study that grows."""
    protocol = {name: value for name, value in spec["protocol"].items() if name not in free}
    return {**spec, "protocol": protocol, "task": {**spec["task"], "from": None, "parts": None}}


def default_folder(folder: Path, wanted: Spec) -> Path:
    """The first of `folder`, `folder-2`, ... that is free or holds this very study: each has one of its own."""
    for number in count(1):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        old = find_spec(candidate)
        if (candidate / TASKS).exists():
            continue
        if old is None or alike(old, wanted):
            return candidate
    raise AssertionError


def resumed(versions: Mapping[str, Any]) -> list[str]:
    """What a study was resumed with that differs from what it began with."""
    notes = []
    for other in versions.get("resumed_with", []):
        changed = "; ".join(differences({name: versions.get(name) for name in other}, other))
        notes.append(f"resumed with other versions ({changed}): trials may differ in the last bits")
    return notes


def write_atomically(path: Path, text: Callable[[], str]) -> None:
    """Write a whole file or none of it."""
    content = text()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file:  # a lone surrogate, say
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        _cannot_write(path.parent, error)


def beside(folder: Path) -> Path:
    """The first name of its kind that is free."""
    return next(new for number in count(2) if not (new := folder.with_name(f"{folder.name}-{number}")).exists())


def keep_both(folder: Path, why: str) -> StudyError:
    """The refusal of a folder that holds something else, with the command that leaves it as it is."""
    other = str(beside(folder))
    return StudyError(
        f"out: {folder} {why}",
        then=("to keep both", {"--out": other}),
        advice=f"Add --out {other} to keep both, or delete the folder to start over",
    )


def _cannot_write(folder: Path, error: OSError) -> NoReturn:
    raise StudyError(
        f"out: cannot write to {folder}: {error.strerror}; every run written before is kept, "
        "and the same command goes on from there",
        then=("to go on", {}),
    ) from None


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """What changed between two specs, as `where: old -> new`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in dict.fromkeys([*old, *new]):
            named = str(key) if str(key).strip() else repr(key)
            found += differences(old.get(key, ABSENT), new.get(key, ABSENT), f"{where}.{named}" if where else named)
        return found
    return [] if old == new else [f"{where}: {_short(old)} -> {_short(new)}"]


def _short(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    text = json.dumps(value)
    return text if len(text) < 300 else text[:300] + "..."
