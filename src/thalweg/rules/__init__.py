"""One published optimizer a file, equations first. What lies here is found: a new file needs no list."""

from importlib import import_module
from pkgutil import iter_modules

from thalweg.rule.definition import Rule


def _found() -> dict[str, Rule]:
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    return {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Rule)}


RULES = _found()


def rules(names: str) -> tuple[Rule, ...]:
    """The rules of these names, which spaces part.

    >>> [rule.title for rule in rules("adamw")]
    ['AdamW: Adam with decoupled weight decay']

    Raises:
        KeyError: for a name that no file here has.
    """
    return tuple(RULES[name] for name in names.split())
