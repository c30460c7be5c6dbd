"""The lists and tables of pages that are made from the code, between `<!-- made: NAME -->` and `<!-- end -->`.

To make them anew: python docs/generate/tables.py; with --check it says which differ, and changes nothing.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thalweg.catalogue import CLASSES
from thalweg.lab.cli.verbs import VERBS, asked_on_the_command_line
from thalweg.lab.verbs.verb import Asked, Option

ROOT = Path(__file__).parents[2]
PAGES = ("docs/lab.md", "README.md", "README.zh.md")
PART = re.compile(r"(<!-- made: ([\w -]+) -->\n?)(.*?)(<!-- end -->)", re.DOTALL)
# What torch 2.6, the oldest that is allowed, has too: what is new in torch since then was here before.
TORCHS = (
    *("SGD", "ASGD", "Rprop", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "NAdam", "RAdam"),
    *("SparseAdam", "Adafactor"),
)


def verbs() -> str:
    """What each verb is asked on the command line, a table a verb; what several are asked alike is in the last."""
    asked = {verb.__name__.replace("_", "-"): asked_on_the_command_line(verb) for verb in VERBS}
    alike = Counter(one.option for options in asked.values() for one in options)
    parts = [
        f"`thalweg {name} {' '.join(one.name.upper() for one in options if one.option.argument)}`\n\n"
        + table([one for one in options if alike[one.option] == 1])
        for name, options in asked.items()
        if any(alike[one.option] == 1 for one in options)
    ]
    shared: dict[Option, list[str]] = {}
    for name, options in asked.items():
        for one in options:
            if alike[one.option] > 1:
                shared.setdefault(one.option, []).append(name)
    rows = {one.option: one for options in asked.values() for one in options}
    head = "| what several are asked | where | what it is | default |\n|---|---|---|---|\n"
    lines = [row(rows[option], f" {', '.join(f'`{name}`' for name in names)} |") for option, names in shared.items()]
    return "\n".join([*parts, head + "\n".join(lines) + "\n"])


def table(asked: list[Asked]) -> str:
    return "\n".join(["| option | what it is | default |", "|---|---|---|", *map(row, asked)]) + "\n"


def row(one: Asked, where: str = "") -> str:
    """A line of a table, with what is asked by its place in capitals."""
    option = one.option
    names = option.names or (f"--{one.name.replace('_', '-')}",)
    shown = one.name.upper() if option.argument else names[0]
    default = option.unset or ("" if one.required or one.default is False else f"`{one.default}`")
    return f"| `{shown}` |{where} {option.help} | {'on' if one.default is True else default} |"


def beyond(comma: str, last: str) -> str:
    """The classes that torch does not have, in the catalogue's order; those without a schedule in a word."""
    names = [cls.__name__ for cls in CLASSES if cls.__name__ not in TORCHS]
    words = list(dict.fromkeys("Schedule-Free" if name.startswith("ScheduleFree") else name for name in names))
    return comma.join(words[:-1]) + last + words[-1]


MADE: dict[str, Callable[[], str]] = {
    "options": verbs,
    "beyond torch": lambda: beyond(", ", " and "),
    "beyond torch in Chinese": lambda: beyond("、", " 和 "),
}


def anew(text: str) -> str:
    """A page with its made parts as they are now."""
    return PART.sub(lambda match: match[1] + MADE[match[2]]() + match[4], text)


def main(*words: str) -> Any:
    stale = []
    for page in PAGES:
        before = (ROOT / page).read_text()
        after = anew(before)
        if after != before:
            stale.append(page)
            if "--check" not in words:
                (ROOT / page).write_text(after)
    return f"not as the code has it: {', '.join(stale)}; python docs/generate/tables.py" if words and stale else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
