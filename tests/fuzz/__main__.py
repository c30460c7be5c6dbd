"""`python -m fuzz`: many random programs, a count of what was done, and each difference as a program to paste."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from fuzz.cases import CASES
from fuzz.program import Program, draw, play, shrink
from fuzz.verdict import Difference


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=500)
    parser.add_argument("--operations", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first program; the next is one more")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES), metavar="CASE")
    parser.add_argument("--keep-going", type=int, default=5, help="stop after so many differences")
    parser.add_argument("--loud", action="store_true", help="print each program before it is played")
    given = parser.parse_args()

    faulthandler.enable()
    count: Counter[str] = Counter()
    found, began, index = 0, time.monotonic(), 0
    for index in range(given.programs):
        program = draw(given.seed + index, given.operations, given.cases)
        if given.loud:
            print(program.text(), flush=True)  # a crash takes the interpreter with it
        try:
            play(program, count)
        except Difference as difference:
            found += 1
            report(program, difference)
            if found == given.keep_going:
                break
        if (index + 1) % max(given.programs // 4, 1) == 0:
            passed = time.monotonic() - began
            print(f"{index + 1} programs, {passed:.0f} s, {found} differences, {resident():.0f} MiB", flush=True)
    print(f"\n{sum(count.values())} operations in {index + 1} programs from seed {given.seed}, {found} differences")
    print(", ".join(f"{name} {number}" for name, number in count.most_common()))
    if not found:
        print(growth([draw(given.seed + each, given.operations, given.cases) for each in range(min(index + 1, 200))]))
    return int(found > 0)


def report(program: Program, difference: Difference) -> None:
    """Print a difference with the smallest program that shows it."""
    print(f"\nDIFFERENCE in program {program.seed} ({program.case}): {difference}\n", flush=True)
    small = shrink(program)
    try:
        play(small)
        print(f"{program.text()}\n# not every time: it depends on addresses, or on threads\n", flush=True)
    except Difference as last:
        print(f"{small.text()}\n# {last}\n", flush=True)


def growth(programs: Sequence[Program]) -> str:
    """What is left of some programs that are played again, when all their kernels are loaded."""
    sizes = []
    for _ in range(3):
        for program in programs:
            play(program)
        sizes.append(resident())
    tensors = sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())
    return (
        f"the first {len(programs)} programs thrice more: {sizes[-1] - sizes[0]:+.1f} MiB from the first time to the "
        f"third, {tensors} tensors alive"
    )


def resident() -> float:
    """MiB that this process holds; it grows while kernels are loaded."""
    gc.collect()
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * 4096 / 2**20 if path.exists() else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
