"""A step of the fast engine makes nothing as large as a parameter: neither in torch nor in NumPy."""

import tracemalloc

import torch
from configurations import DEFAULTS, laws

SIZE = 50_000


def largest(configuration, engine):
    """Bytes: the largest piece of memory that the third step takes at once, in torch or through Python."""
    p = torch.nn.Parameter(torch.ones(SIZE, dtype=torch.float64))
    optimizer = configuration.cls([p], engine=engine)
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.step()
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        optimizer.step()
    tracemalloc.start()
    try:
        optimizer.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return max(peak, *(event.cpu_memory_usage for event in profile.function_events))


FUSED = [
    each
    for each in DEFAULTS
    if each.engine == "cpu"
    and not each.info.only_supports_sparse_grads
    and not any(rule.directs for rule in each.cls.rules)  # a direction is as large as what it moves
]


@laws(FUSED)
def test_a_step_makes_no_temporary_as_large_as_a_parameter(configuration):
    whole = SIZE * 8
    assert largest(configuration, "reference") >= whole  # as torch's loop does: the measure sees it
    assert largest(configuration, "cpu") < whole / 2
