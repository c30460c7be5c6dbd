"""Measuring side by side: subjects take turns, so that the machine's moods fall on all of them."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Turn = Callable[[], tuple[int, ...]]  # does the work once; the nanoseconds of each of its parts
Rounds = npt.NDArray[np.float64]  # microseconds: a row a round, a column a part


@dataclass(frozen=True)
class Pace:
    """How long to measure: rounds until the seconds are over, within bounds on their number."""

    seconds: float
    least: int
    most: int
    timed: int = 1  # runs of a subject in its turn; their median counts for the round
    settling: int = 0  # runs before these: its own data and threads take the place of its predecessor's
    warm_up: int = 3


def stopwatch(work: Callable[[], Any]) -> Turn:
    """A turn of one part."""

    def turn() -> tuple[int, ...]:
        start = time.perf_counter_ns()
        work()
        return (time.perf_counter_ns() - start,)

    return turn


def interleave(subjects: Mapping[str, Turn], pace: Pace) -> dict[str, Rounds]:
    """The times of each subject in each round, in microseconds. Every subject runs equally often."""
    for _ in range(pace.warm_up):
        for turn in subjects.values():
            turn()
    rounds: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in subjects}
    order, shuffle = list(subjects), random.Random(0).shuffle
    gc.collect()
    gc.disable()  # a collection would fall on whoever is running
    try:
        end, done = time.monotonic() + pace.seconds, 0
        while done < pace.least or (done < pace.most and time.monotonic() < end):
            shuffle(order)  # else each would always follow the same predecessor
            for name in order:
                rounds[name].append(_take_turn(subjects[name], pace))
            done += 1
    finally:
        gc.enable()
    return {name: np.array(rows) for name, rows in rounds.items()}


def _take_turn(turn: Turn, pace: Pace) -> npt.NDArray[Any]:
    for _ in range(pace.settling):
        turn()
    return np.median([turn() for _ in range(pace.timed)], axis=0) / 1e3


def summary(values: Rounds) -> dict[str, Any]:
    """Median and quartiles over the rounds."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return {"median": float(middle), "quartiles": [float(low), float(high)]}


def compared(rounds: Mapping[str, Rounds], part: int = 0) -> dict[str, Any]:
    """Each subject's microseconds, and its time as a multiple of ours: the median ratio within a round."""
    ours = rounds["ours"][:, part]
    return {
        name: {"us": summary(times[:, part]), "times_ours": summary(times[:, part] / ours)}
        for name, times in rounds.items()
    }
