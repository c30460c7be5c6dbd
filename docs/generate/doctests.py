"""Doctests in docstrings become code blocks: in Markdown their lists of lists would be links."""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    """Each paragraph that begins with a prompt, in a fence."""
    lines, inside = [], False
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith(">>> ") and not inside:
            lines += ["", "```pycon"]
            inside = True
        if inside and not bare:
            lines.append("```")
            inside = False
        lines.append(bare if inside and bare.startswith(">>>") else line)
    return "\n".join(lines + ["```"] * inside)


class Doctests(griffe.Extension):
    """Runs over every object that the reference shows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring and ">>>" in obj.docstring.value:
            obj.docstring.value = fenced(obj.docstring.value)
