"""The Answer screen, which every report opens with: the sentence, the line to paste, the price, the doubts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.lab.arguments import several
from thalweg.lab.report.markup import facts, glued, headline, items, paste
from thalweg.lab.report.page import Part, Screen
from thalweg.lab.training.trial import Trial

ONE_LINE = 64  # letters of the large headline on one line of a screen
DOUBTS = ("Not ",)  # how a note begins that limits the answer


def screen(
    sentence: str, line: str, known: Sequence[tuple[str, str, str]], parts: Sequence[Part], notes: Sequence[str]
) -> Screen:
    """The sentence's first part, made short, is the headline. `known` are facts: what, value, in small letters."""
    head, rest = headline(sentence)
    doubts = [
        note for note in notes if note.startswith(DOUBTS) or re.search(" (crashed|ran out of (memory|time)): ", note)
    ]
    how = [note for note in notes if note not in doubts]
    lead = f'<p class="lead">{glued(rest)}</p>' if rest else ""
    long = ' class="long"' if len(head) > ONE_LINE else ""
    return Screen(
        "answer",
        "Answer",
        [
            f"<h1{long}>{glued(head)}</h1>{lead}{paste(line) if line else ''}{facts(known)}",
            *parts,
            f'<div class="block caveats">{items("What this does not say", doubts)}'
            f"{items('How it was found', how)}</div>",
        ],
    )


def price(trials: Sequence[Trial], versions: Mapping[str, Any]) -> tuple[str, str, str]:
    """The fact of what the answer cost."""
    seconds = sum(trial.seconds for trial in trials)
    spent = (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
    threads = (versions.get("threads") or {}).get("threads")
    on = f" on {several(threads, 'thread')}" if threads else ""
    return "Price", spent, f"{several(len(trials), 'run')}{on}"
