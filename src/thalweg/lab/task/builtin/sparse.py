"""Word embeddings whose gradients are truly sparse: skip-gram on the words of Python's standard library.

Which of five words stood near a given one? One did, four are drawn as often as they occur (Mikolov et al. 2013,
"Distributed Representations of Words and Phrases"). 60,000 pairs to train, 10,000 to select, 10,000 to test, of
different files; 4,000 words of 32 numbers, twice; about 2 s a run. A batch touches a few hundred of the rows.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.lab.task.builtin import sources
from thalweg.lab.task.task import Task

WORDS, WIDTH, REACH, CHOICES = 4000, 32, 3, 5
SIZES = {"train": 60_000, "validation": 10_000, "test": 10_000}
WORD = re.compile(r"[A-Za-z]{2,}")
EVERY = 7  # one in so many places is a pair's: neighboring pairs say much the same


class SkipGram(nn.Module):
    """How well each of the choices goes with the word in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Embedding(WORDS, WIDTH, sparse=True)
        self.near = nn.Embedding(WORDS, WIDTH, sparse=True)
        for table in (self.middle, self.near):
            nn.init.normal_(table.weight, std=WIDTH**-0.5)

    def forward(self, middle: Tensor, choices: Tensor) -> Tensor:
        products: Tensor = self.near(choices) * self.middle(middle)[:, None]
        return products.sum(-1)


def task() -> Task:
    """The pairs of each part, with four other words and the place among them drawn once, by a fixed seed."""
    texts = [WORD.findall(text.lower()) for _, text in sources.files()]
    counts = Counter(word for text in texts for word in text)
    known = {word: number for number, (word, _) in enumerate(counts.most_common(WORDS))}
    numbers = [[known[word] for word in text if word in known] for text in texts]
    often = torch.tensor([counts[word] for word in known], dtype=torch.float64) ** 0.75
    generator = torch.Generator().manual_seed(0)
    pairs = (
        (text[place], text[place + 1 + place % REACH])
        for text in numbers
        for place in range(0, len(text) - REACH, EVERY)
    )
    parts: dict[str, Any] = {name: _rows(list(islice(pairs, size)), often, generator) for name, size in SIZES.items()}
    return Task(
        name="sparse",
        model=SkipGram,
        loss=nn.CrossEntropyLoss(),
        metric="accuracy",
        epochs=3,
        batch_size=256,
        **parts,
    )


def _rows(pairs: list[tuple[int, int]], often: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(word in the middle, choices, place of the one that stood near)."""
    middle, near = torch.tensor(pairs).unbind(1)
    choices = torch.multinomial(often, len(pairs) * CHOICES, replacement=True, generator=generator)
    choices = choices.view(-1, CHOICES)
    place = torch.randint(CHOICES, (len(pairs),), generator=generator)
    choices[torch.arange(len(pairs)), place] = near
    return middle, choices, place
