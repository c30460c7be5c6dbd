"""Jobs in batches, one for each order to a worker."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from thalweg.lab.training.job import Job


def batches(jobs: Sequence[Job], most: int, workers: int) -> list[list[Job]]:
    """At most so many jobs a batch, enough batches for all workers, and in each those that can go side by side.

    >>> from types import SimpleNamespace as Fake
    >>> jobs = [Fake(epochs=1, setting=Fake(batch_size=size)) for size in (8, 16, 8, 16, 8, 8)]
    >>> [[job.setting.batch_size for job in batch] for batch in batches(jobs, 3, 2)]
    [[8, 8], [8, 8], [16], [16]]
    """
    alike: dict[object, list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.epochs, job.setting.batch_size), []).append(job)
    found = []
    for group in alike.values():
        count = min(len(group), max(ceil(len(group) / most), workers))
        size, more = divmod(len(group), count)
        start = 0
        for place in range(count):
            end = start + size + (place < more)
            found.append(group[start:end])
            start = end
    return found
