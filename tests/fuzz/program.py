"""Programs: how they are drawn, played on every side, and cut down to what still shows a difference."""

from __future__ import annotations

import random
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch

from fuzz import changes, gradients, loops, states
from fuzz.cases import CASES, Case
from fuzz.dice import DTYPES, SHAPES, SPARSE_SHAPES, Dice
from fuzz.operations import OPERATIONS, Setting
from fuzz.sides import CPU, REFERENCE, TORCH, Side
from fuzz.verdict import DOUBLE, SINGLE, Difference, Verdict
from thalweg.engines import cpu

__all__ = ["Program", "changes", "draw", "find", "gradients", "loops", "play", "shrink", "states"]

FEW_FOR_THREADS = 128  # elements: small parameters are stepped on two threads, too


@dataclass(frozen=True)
class Program:
    """Everything that happens, as data. `groups`: for each group the shapes and dtypes of its parameters."""

    case: str
    seed: int
    operations: tuple[tuple[str, int], ...]
    groups: tuple[tuple[tuple[tuple[int, ...], str], ...], ...]
    rounding: str = "nearest"
    named: bool = False
    torch: bool = True

    @property
    def setting(self) -> Setting:
        dtypes = {DTYPES[name] for group in self.groups for _, name in group}
        half = bool(dtypes & {torch.float16, torch.bfloat16})
        return Setting(CASES[self.case], self.torch, half, any(dtype.is_complex for dtype in dtypes))

    def text(self) -> str:
        """To paste into a script, with tests/ on the path."""
        lines = "".join(f"        {operation!r},\n" for operation in self.operations)
        return (
            "from fuzz.program import Program, play\n\n"
            f"play(\n    Program(\n        {self.case!r},\n        {self.seed},\n"
            f"        (\n{lines.replace('        ', ' ' * 12)}        ),\n        {self.groups!r},\n"
            f"        rounding={self.rounding!r},\n        named={self.named},\n        torch={self.torch},\n    )\n)"
        )


def draw(seed: int, operations: int, cases: Sequence[str] = tuple(CASES)) -> Program:
    """The random program of a seed."""
    chance = random.Random(f"program {seed}")
    case = CASES[cases[seed % len(cases)]]
    kind = chance.choices(("single", "double", "mixed", "half"), (6, 1, 2, 4))[0]
    if kind == "half" and (not case.halves or case.sparse):
        kind = "single"
    dtypes = {
        "single": ("float32",),
        "double": ("float64",),
        "mixed": ("float32", "float64", *(("complex64", "complex128") if case.complex and not case.sparse else ())),
        "half": (chance.choice(("bfloat16", "bfloat16", "float16")),),
    }[kind]
    shapes = SPARSE_SHAPES if case.sparse else SHAPES
    groups = tuple(
        tuple((chance.choice(shapes), chance.choice(dtypes)) for _ in range(chance.randint(1, 3)))
        for _ in range(chance.randint(1, 3))
    )
    program = Program(
        case.name,
        seed,
        (),
        groups,
        rounding=chance.choice(("nearest", "stochastic", "kahan", "master")) if kind == "half" else "stochastic",
        named=chance.random() < 0.5,
        torch=case.theirs is not None and kind != "half" and chance.random() < 0.8,
    )
    allowed = {name: each for name, each in OPERATIONS.items() if each.allowed(program.setting)}
    names = chance.choices(list(allowed), [each.weight for each in allowed.values()], k=operations)
    return replace(program, operations=tuple((name, chance.randrange(10**6)) for name in names))


def play(program: Program, count: Counter[str] | None = None) -> None:
    """Run a program on every side; Difference, with the operation after which they part, where they do."""
    done = "the beginning"
    with surroundings(program.setting.case):
        sides = begin(program)
        everything = {name for group in program.groups for _, name in group}
        verdict = Verdict(DOUBLE if everything <= {"float64", "complex128"} else SINGLE)
        for name, seed in (("step", 0), *program.operations, ("step", 1)):
            act(name, (program.seed, seed), sides)
            if count is not None:
                count[name] += 1
            done = f"{name} ({seed})"
            try:
                for side in sides[1:]:
                    verdict.judge(sides[0], side)
            except Difference as difference:
                raise Difference(f"after {done}: {difference}") from None


def begin(program: Program) -> list[Side]:
    """The same model on every side, the reference first."""
    sides = []
    for way in (REFERENCE, CPU, *((TORCH,) if program.torch else ())):
        side = Side(way, CASES[program.case], program.rounding, program.named, program.torch)
        dice = Dice("model", program.seed)
        groups = []
        for index, group in enumerate(program.groups):
            params = [torch.nn.Parameter(dice.normal(shape, DTYPES[dtype])) for shape, dtype in group]
            groups.append({"params": side.named_params(params), **({"lr": 0.03} if index == 1 else {})})
        side.open(groups)
        sides.append(side)
    return sides


def act(name: str, seed: tuple[int, int], sides: Sequence[Side]) -> None:
    """One operation on every side. What one side refuses and the others do is a difference."""
    operation = OPERATIONS[name]
    for side in sides if not operation.together else [None]:
        try:
            operation.function(sides if side is None else side, Dice(name, seed))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {error} ({where.filename.rpartition('/')[2]}:{where.lineno})"
            raise Difference(f"{name} ({seed[1]}): {side.way if side else 'one side'} raised {what}") from error


@contextmanager
def surroundings(case: Case) -> Iterator[None]:
    """Warnings are not compared. One thread until a program asks for two: torch's roots would start a second for some
    hundred elements, which takes milliseconds on a busy machine. The numbers are put back."""
    threads, few = torch.get_num_threads(), cpu.ONE_THREAD
    torch.set_num_threads(1)
    if case.threads:
        cpu.ONE_THREAD = FEW_FOR_THREADS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        cpu.ONE_THREAD = few
        torch.set_num_threads(threads)


def find(programs: Iterator[Program] | Sequence[Program], count: Counter[str] | None = None) -> str:
    """What the first program that shows a difference says; empty where none does."""
    for program in programs:
        try:
            play(program, count)
        except Difference as difference:
            return str(difference)
    return ""


def shrink(program: Program, attempts: int = 300) -> Program:
    """The same difference from fewer operations and parameters: whatever can be left out is."""
    left = attempts

    def fails(candidate: Program) -> bool:
        nonlocal left
        left -= 1
        try:
            play(candidate)
        except Difference:
            return True
        except Exception:  # a program that no longer makes sense
            return False
        return False

    def without(items: Sequence[object], keep: Callable[[tuple[object, ...]], Program], now: Program) -> Program:
        size = max(len(items) // 2, 1)
        while items and left > 0:
            start = 0
            while start < len(items) and left > 0:
                candidate = keep((*items[:start], *items[start + size :]))
                if fails(candidate):
                    now, items = candidate, (*items[:start], *items[start + size :])
                else:
                    start += size
            if size == 1:
                break
            size //= 2
        return now

    for _ in range(2):  # with fewer parameters an operation may do alone what two did
        long = program
        many = without(long.operations, lambda kept, long=long: replace(long, operations=kept), long)
        cells = tuple((place, each) for place, group in enumerate(many.groups) for each in group)
        program = without(cells, lambda kept, many=many: replace(many, groups=grouped(kept)), many)
    return program


def grouped(cells: Sequence[Any]) -> tuple[Any, ...]:
    """Parameters by the place of their group; a group that is left with none is gone."""
    return tuple(tuple(each for _, each in group) for _, group in groupby(cells, key=lambda cell: cell[0]))
