"""The reference of the public names: a page a namespace, each class and function from its docstring."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

# A page each: the address, what stands at its top, and the namespace whose `__all__` it covers.
PAGES = {
    "thalweg": "The package: your own rule, a task, and the verbs of the lab.",
    "thalweg.optim": "The drop-in namespace. Constructors are torch's where torch has the class.",
    "thalweg.lab": "Results, tasks and errors of the lab.",
    "thalweg.play": "Races in Python.",
    "thalweg.rule.words": "The words of an equation.",
    "thalweg.rule.hyperparameters": "What a hyperparameter's annotation may hold.",
}
ANNOTATIONS = ("Rate", "Betas", "Epsilon", "Search", "Switch", "Valid", "OneOf")


def names(namespace: str) -> list[str]:
    """The public names of a namespace; torch's own that are handed on are torch's to document."""
    module = import_module(namespace)
    listed = ANNOTATIONS if namespace == "thalweg.rule.hyperparameters" else getattr(module, "__all__", ())
    return [name for name in listed if not isinstance(getattr(module, name), ModuleType)]


def page(namespace: str, about: str) -> str:
    module = import_module(namespace)
    parts = [f"# {namespace}\n\n{about}\n"]
    for name in names(namespace):
        parts.append(entry(namespace, name, getattr(module, name)))
    return "\n".join(parts)


def entry(namespace: str, name: str, value: Any) -> str:
    """A name's section: by mkdocstrings where the name is in a source file, else from the object itself."""
    home, public = getattr(value, "__module__", ""), f"{namespace}.{name}"
    if home.startswith("torch"):
        return f"## {name}\n\n`{public}` is torch's own `{home}.{name}`, handed on.\n"
    if inspect.isclass(value) and isinstance(getattr(value, "rules", None), tuple):
        rules = ", ".join(f"[{rule.name}](rules/{rule.name}.md)" for rule in value.rules)
        return f"## {name}\n\n{signature(public, value)}\n\nThe rules: {rules}.\n"
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"## {name}\n\n::: {home}.{value.__qualname__}\n"
    return f"## {name}\n\n`{public}` is the annotation `{value}`.\n"


def signature(public: str, value: Any) -> str:
    """A constructor, a parameter a line."""
    lines = [f"{public}("]
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not any(line.strip() == "*," for line in lines):
            lines.append("    *,")
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        lines.append(f"    {parameter.name}{default},")
    return "\n".join(["```py", *lines, ")", "```"])


def pages() -> dict[str, str]:
    """Markdown by address."""
    made = {f"reference/{namespace}.md": page(namespace, about) for namespace, about in PAGES.items()}
    links = [f"- [{namespace}]({namespace}.md): {about}" for namespace, about in PAGES.items()]
    made["reference/index.md"] = (
        "# Reference\n\n" + "\n".join([*links, "- [Rules](rules/index.md): a page each."]) + "\n"
    )
    return made
