"""The reference of the public names: a page a namespace, each class and function from its docstring."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# A page each: the address, what stands at its top, and the namespace whose `__all__` it covers.
PAGES = {
    "thalweg": "The package: your own rule, a task, and the verbs of the lab.",
    "thalweg.optim": "The drop-in namespace. Constructors are torch's where torch has the class.",
    "thalweg.lab": "Results, tasks and errors of the lab.",
    "thalweg.play": "Races in Python.",
    "thalweg.play.landscape": "The loss around runs, of any model.",
    "thalweg.play.page": "The page itself.",
    "thalweg.lens.preflight": "What is wrong before the first step.",
    "thalweg.lens.lightning": "Lens in Lightning's Trainer.",
    "thalweg.lens.hugging_face": "Lens in Hugging Face's Trainer.",
    "thalweg.differences": "Two optimizers side by side.",
    "thalweg.lab.task.adapters.lightning": "A LightningModule as a task.",
    "thalweg.lab.task.adapters.transformers": "A Hugging Face model as a task.",
    "thalweg.rule.words": "The words of an equation.",
    "thalweg.rule.hyperparameters": "What a hyperparameter's annotation may hold.",
}
SOURCE = Path(__file__).parents[2] / "src"
# What is behind a public face: `thalweg`, `thalweg.lab` and `thalweg.rule.hyperparameters` hand on what is for others.
INSIDE = ("thalweg.engines", "thalweg.conformance", "thalweg.rule.definition", "thalweg.lab.")
FOR_OTHERS = ("thalweg.lab.task.adapters.",)  # of those: each needs a framework, and is imported by whoever has it


def public() -> list[str]:
    """The modules that say what is theirs for others, by `__all__`; none is imported for it."""
    found = []
    for path in sorted((SOURCE / "thalweg").rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        inside = module.startswith(INSIDE) and not module.startswith(FOR_OTHERS)
        if offered(path.read_text()) and not inside:
            found.append(module)
    return found


def offered(source: str) -> list[str]:
    """The names of a source's `__all__`."""
    for line in ast.parse(source).body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__all__":
            return [
                ast.literal_eval(name) for name in getattr(line.value, "elts", []) if isinstance(name, ast.Constant)
            ]
    return []


def names(namespace: str) -> list[str]:
    """The public names of a namespace; torch's own that are handed on are torch's to document."""
    module = import_module(namespace)
    return [name for name in module.__all__ if not isinstance(getattr(module, name), ModuleType)]


def page(namespace: str, about: str) -> str:
    parts = [f"# {namespace}\n\n{about}\n"]
    try:
        module = import_module(namespace)
    except ImportError:  # its framework is not here: as the source has it
        source = SOURCE.joinpath(*namespace.split(".")).with_suffix(".py").read_text()
        return "\n".join([*parts, *(f"## {name}\n\n::: {namespace}.{name}\n" for name in offered(source))])
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
