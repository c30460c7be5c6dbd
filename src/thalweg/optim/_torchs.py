"""The modules of torch.optim under this package's name, as the imports of a script written for torch ask for them."""

import sys
from importlib import import_module
from typing import Any


def complete(names: dict[str, Any]) -> None:
    """Give a module the private names, too, that torch's has and it has not."""
    theirs = import_module(names["__name__"].replace("thalweg.", "torch.", 1))
    for name, value in vars(theirs).items():
        names.setdefault(name, value)


def stand_in(module: str) -> None:
    """Make the module torch's own, the very same: what is set in one is set in the other."""
    sys.modules[module] = import_module(module.replace("thalweg.", "torch.", 1))
