"""The same again: twice, with any number of threads, by every implementation, from any memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from thalweg.conformance.evidence import copies, same
from thalweg.conformance.law import law, need
from thalweg.conformance.subject import Subject, gradients
from thalweg.conformance.threads import threads

THEME = "determinism"
LARGE = (397, 401)  # above the size from which torch, and others, share a tensor among threads
SEED = 1234


@law(THEME, modes=True)
def the_same_run_twice(s: Subject) -> str:
    """The same run twice gives the same bits."""
    found = []
    for _ in range(2):
        params = s.params()
        torch.manual_seed(SEED)
        s.run(params, gradients(params, 4))
        found.append(params)
    same(found[1], found[0])
    return "4 steps: the same bits"


@law(THEME)
def any_number_of_threads(s: Subject) -> str:
    """torch.set_num_threads changes no bit; only rounding where elements act on each other."""
    found = []
    counts = (1, 2, 3)
    for count in counts:
        with threads(count):
            params = s.params(LARGE)
            torch.manual_seed(SEED)
            s.run(params, gradients(params, 2))
            found.append(copies(params))
    for count, each in zip(counts[1:], found[1:], strict=True):
        if s.couples_elements:  # a product of matrices is added up in an order that threads choose
            s.near(each, found[0], 2, f"with {count} threads, the parameters")
        else:
            same(each, found[0], f"with {count} threads, the parameters")
    how = "the same to rounding" if s.couples_elements else "the same bits"
    return f"1, 2 and 3 threads, {LARGE[0] * LARGE[1]:,} elements: {how}"


@law(THEME, modes=True)
def implementations_agree(s: Subject) -> str:
    """Every implementation (foreach, fused) gives what the plain loop gives, to rounding."""
    need(any(s.variant.values()), "this is the plain loop" if s.variant else "it has one implementation")
    plain = Subject(s.cls, s.settings, {"foreach": False}, s.mode)
    mine, theirs = s.params(), plain.params()
    drawn = gradients(mine, 10)
    s.run(mine, drawn)
    plain.run(theirs, drawn)
    s.near(mine, theirs, 10)
    return "10 steps: as the plain loop, to rounding"


@law(THEME, modes=True)
def no_memory_left_unset(s: Subject) -> str:
    """No result comes from memory that nobody set: with torch.empty filled with NaN, the bits are the same."""
    plain, other = s.params(), s.params()
    drawn = gradients(plain, 3)
    torch.manual_seed(SEED)
    s.run(plain, drawn)
    torch.manual_seed(SEED)
    with empty_is_nan():
        s.run(other, drawn)
    same(other, plain)
    return "3 steps: the same bits"


@contextmanager
def empty_is_nan() -> Iterator[None]:
    """torch fills what it allocates with NaN: what is read before it is written shows."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
