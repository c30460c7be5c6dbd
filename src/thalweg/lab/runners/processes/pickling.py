"""Tasks and jobs as bytes, for another process or another machine.

Functions and classes that no other process could import (lambdas, those of a notebook, of a script or of a task's
file) travel by value. What holds something of this process, such as an open file or a lock, cannot travel.
"""

from __future__ import annotations

import io
import sys
from types import MappingProxyType
from typing import Any

from thalweg.catalogue import Entry, listed
from thalweg.lab.errors import LabError, first_line
from thalweg.lab.task.load import FILE_MODULE


def pack(thing: Any, what: str) -> bytes:
    """The bytes of `thing`.

    Raises:
        LabError: where `what` ("the task") holds something that cannot leave this process.
    """
    cloudpickle = _cloudpickle()
    by_value = [module for name, module in list(sys.modules.items()) if name.startswith(FILE_MODULE)]
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        dispatch_table = cloudpickle.Pickler.dispatch_table.new_child({MappingProxyType: _mapping, Entry: _entry})

    buffer = io.BytesIO()
    try:
        Pickler(buffer).dump(thing)
    except Exception as error:  # pickling runs the user's own __reduce__ and __getstate__
        raise LabError(f"{what} cannot be sent to another process: {first_line(error)}") from None
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)
    return buffer.getvalue()


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ModuleNotFoundError:
        raise LabError("on: worker processes need cloudpickle: pip install 'thalweg[lab]'") from None
    return cloudpickle


def _mapping(mapping: MappingProxyType[Any, Any]) -> Any:
    return MappingProxyType, (dict(mapping),)


def _entry(entry: Entry) -> Any:
    if listed(entry.name) is entry:
        return listed, (entry.name,)
    return Entry, (entry.name, entry.optimizer, dict(entry.settings), entry.rule)
