"""What `thalweg lens FILE` prints."""

from __future__ import annotations

from pathlib import Path

from thalweg.lens.checkpoint import checkpoint
from thalweg.lens.finding import told
from thalweg.lens.words import texts


def look(file: Path, model: Path | None, language: str) -> str:
    """The findings of a checkpoint, as text.

    Raises:
        ValueError: for a file that cannot be read, and for a language there is not.
    """
    texts(language)
    return told(checkpoint(file, model), language)
