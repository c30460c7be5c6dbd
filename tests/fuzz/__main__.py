"""`python -m fuzz`: many random programs, a count of what was done, and each difference as a program to paste."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import time
from collections import Counter
from pathlib import Path

import torch

from fuzz.cases import CASES
from fuzz.program import draw, play, shrink
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
    found, began, memory = 0, time.monotonic(), []
    for index in range(given.programs):
        program = draw(given.seed + index, given.operations, given.cases)
        if given.loud:
            print(program.text(), flush=True)  # a crash takes the interpreter with it
        try:
            play(program, count)
        except Difference as difference:
            found += 1
            print(f"\nDIFFERENCE in program {program.seed} ({program.case}): {difference}\n", flush=True)
            small = shrink(program)
            try:
                play(small)
                print(f"{program.text()}\n# not every time: it depends on addresses, or on threads\n", flush=True)
            except Difference as last:
                print(f"{small.text()}\n# {last}\n", flush=True)
            if found == given.keep_going:
                break
        if (index + 1) % max(given.programs // 4, 1) == 0:
            memory.append(held())
            passed = time.monotonic() - began
            print(f"{index + 1} programs, {passed:.0f} s, {found} differences, {memory[-1]}", flush=True)
    print(f"\n{sum(count.values())} operations in {index + 1} programs from seed {given.seed}, {found} differences")
    print(", ".join(f"{name} {number}" for name, number in count.most_common()))
    return int(found > 0)


def held() -> str:
    """Memory that is in use: it grows while kernels are loaded, and must not after that."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    tensors = sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())
    return f"{pages * 4096 / 2**20:.0f} MiB resident, {tensors} tensors alive"


if __name__ == "__main__":
    raise SystemExit(main())
