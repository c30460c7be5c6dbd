"""A verb's docstring has a line an option, which is made when it is imported: the reference shows that one."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import griffe


class Verbs(griffe.Extension):
    """Gives each decorated verb the docstring that Python has, and the types without what the options say."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        if not any(str(decorator.value) == "verb" for decorator in func.decorators):
            return
        verb = getattr(import_module(func.parent.path), func.name)
        func.docstring.value = inspect.getdoc(verb)
        for name, parameter in inspect.signature(verb, eval_str=True).parameters.items():
            func.parameters[name].annotation = inspect.formatannotation(parameter.annotation.__origin__)
