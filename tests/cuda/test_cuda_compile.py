"""What Triton's compiler makes of every kernel for sm_90, without a GPU: 16-byte accesses, one precision, no spills."""

import os
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import torch
import triton
from subjects import EVERY_RULE_WITH_DECAY, PLAIN, parameters

from compiling import needs_compiler
from thalweg.engines.cuda import compiled, scalars, source
from thalweg.tensors.quantization import LIMIT, form_of
from thalweg.tensors.rounding import FULL, HALVES, ROUNDINGS

ALL = os.environ.get("THALWEG_CUDA_FULL") == "1"  # `make test-cuda-compile`
THREADS = 32 * source.WARPS
# Precise roots and quotients of float32 have a path of their own for extremes; nothing else may leave the registers.
DOUBLE = re.compile(r"\b(?:add|sub|mul|fma|div|sqrt|neg|setp|cvt)\.[\w.]*f64")


@pytest.fixture(autouse=True)
def interpreter(monkeypatch):
    needs_compiler()
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


def some(cases, every):
    return list(cases) if ALL else list(cases)[::every]


def recipe_of(subject, **more):
    optimizer = subject.build(parameters([(2,)], torch.float32), **more)
    return optimizer._update(optimizer.param_groups[0]), optimizer.param_groups[0]


def accesses(ptx: str, kind: str, of: str = r"v4\.b32|v2\.b64|v4\.f32|v2\.f64") -> int:
    """How many 16-byte accesses there are, or others."""
    return len(re.findall(rf"{kind}\.global\.(?:{of})\s", ptx))


def resources(cubin: bytes) -> dict[str, int]:
    """What ptxas gave the kernel: registers, and bytes of stack and of local memory, which is where spills go."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", told)}


def check(built, reads: dict[int, int], writes: dict[int, int], number: str) -> None:
    """`reads`, `writes`: how many arrays of each element size."""
    assert built.asm["cubin"] and ".target sm_90" in built.asm["ptx"]
    ptx = built.asm["ptx"]
    each = {size: source.BLOCK * size // (16 * THREADS) for size in (1, 2, 4, 8)}
    assert accesses(ptx, "ld") == sum(count * each[size] for size, count in reads.items())
    assert accesses(ptx, "st") == sum(count * each[size] for size, count in writes.items())
    # A thread has 8 elements: of 8-bit codes one access of as many bytes.
    assert accesses(ptx, "ld", r"v2\.b32") == reads.get(1, 0) and accesses(ptx, "st", r"v2\.b32") == writes.get(1, 0)
    assert number == "float64" or not DOUBLE.search(ptx)
    assert not re.search(r"\b(?:div|sqrt)\.(?:approx|full)", ptx)  # Triton's own are a unit or two off
    used = resources(built.asm["cubin"])
    # 128 registers leave 16 warps on a multiprocessor. ptxas puts two in memory where 64 would do without.
    assert used["STACK"] <= 8 and used["LOCAL"] == 0 and used["REG"] <= (255 if number == "float64" else 128)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("subject", some(EVERY_RULE_WITH_DECAY, 6), ids=str)
def test_whole_numbers(subject, dtype):
    update, _ = recipe_of(subject)
    size = 4 if dtype == torch.float32 else 8
    arrays = {*update.program.tensors} & update.program.used
    reads, writes = {size: len(arrays)}, {size: len(update.program.written)}
    check(compiled.compile_for(update, dtype), reads, writes, str(dtype).removeprefix("torch."))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("subject", some(PLAIN, 13), ids=str)
def test_sixteen_bits(subject, rounding, dtype):
    update, _ = recipe_of(subject)
    storage, directed = ROUNDINGS[rounding], update.rule.directs
    states = len({*update.rule.states} & update.program.used)
    kept = {"kahan": 2, "master": 4}.get(rounding)
    reads = {2: 1 + (not directed) + (kept == 2), 4: states + directed + (kept == 4)}
    written = len([name for name in update.program.written if name in update.rule.states])
    writes = {2: 1 + (kept == 2), 4: written + (kept == 4)}
    check(compiled.compile_for(update, dtype, storage=storage), reads, writes, "float32")


KEEPS = [subject for subject in PLAIN if subject.entry.rule.moments]


@pytest.mark.parametrize("dtype", HALVES)
def test_wide_gradients_of_sixteen_bits(dtype):
    """Gradients of another dtype are float32: read 16 bytes at a time, as the states are."""
    update, _ = recipe_of(PLAIN[0])
    states = len(update.rule.states)
    built = compiled.compile_for(update, dtype, storage=ROUNDINGS["nearest"], wide=True)
    check(built, {2: 1, 4: 1 + states}, {2: 1, 4: states}, "float32")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("small", ["int8", "bfloat16"])
@pytest.mark.parametrize("subject", some(KEEPS, 10), ids=str)
def test_small_state(subject, small, dtype):
    update, _ = recipe_of(subject)
    rule, program = update.rule, update.program
    form = form_of(rule.moments, small, torch.empty(LIMIT, device="meta"))
    sizes = dict.fromkeys(program.tensors, 4) | {letter: code.dtype.itemsize for letter, code in form}
    sizes |= dict.fromkeys(program.tensors[: 1 if rule.directs else 2], dtype.itemsize)
    storage = ROUNDINGS["stochastic"] if dtype == torch.bfloat16 else FULL
    built = compiled.compile_for(update, dtype, storage=storage, form=form)
    read = [sizes[name] for name in program.tensors if name in program.used]
    written = [sizes[name] for name in program.written]
    check(built, Counter(read), Counter(written), "float32")
    eight = written.count(1)
    ptx = built.asm["ptx"]
    # A full chunk's maximum of a block is one instruction of a warp; a tail's takes two, with the warps' own between,
    # of which Triton 3.2 and 3.8 make one.
    assert len(re.findall(r"redux\.sync\.max\.u32", ptx)) in (2 * eight, 3 * eight)
    # One byte is a scale, or, of a tail, a code, of which a thread has two.
    assert accesses(ptx, "ld", "b8") == 4 * read.count(1) and accesses(ptx, "st", "b8") == 4 * eight


def test_the_pieces_of_a_tail_take_fewer_registers_than_a_full_chunk():
    """Tails as long as a chunk took more than all else: 111 registers for Adam in place of 60, half as many warps."""
    update, _ = recipe_of(next(subject for subject in PLAIN if subject.entry.name == "adam"))
    used = resources(compiled.compile_for(update, torch.float32).asm["cubin"])
    assert used["REG"] <= 64


@pytest.mark.parametrize("subject", some([s for s in PLAIN if not s.entry.rule.directs], 9), ids=str)
def test_caution(subject):
    update, _ = recipe_of(subject, cautious=True)
    arrays = {*update.program.tensors} & update.program.used
    check(compiled.compile_for(update, torch.float32), {4: len(arrays)}, {4: len(update.program.written)}, "float32")
    for small in ("float32", "int8"):
        form = form_of(update.rule.moments, small, torch.empty(LIMIT, device="meta"))
        counting = compiled.compile_for(update, torch.float32, storage=FULL, entry="agreeing", form=form)
        assert not DOUBLE.search(counting.asm["ptx"]) and resources(counting.asm["cubin"])["LOCAL"] == 0


@pytest.mark.parametrize("subject", some([s for s in PLAIN if s.entry.rule.per_tensor is None], 6), ids=str)
def test_numbers_are_worked_out_in_double_precision(subject):
    update, group = recipe_of(subject)
    names = ("step", *update.rule.carried)
    built = compiled.compile_numbers_for(update, torch.float32, names, scalars.leaves(update, group))
    ptx = built.asm["ptx"]
    assert built.asm["cubin"] and DOUBLE.search(ptx)
    # float32 arithmetic would have come from a literal; what is float32 is what is stored
    assert not re.search(r"\b(?:add|sub|mul|fma|div|sqrt)\.[\w.]*f32", ptx)
    assert resources(built.asm["cubin"])["LOCAL"] == 0


@pytest.mark.parametrize("size", [(512, 2), (1024, 2), (2048, 4), (2048, 8), (4096, 8)], ids=str)
def test_programs_of_other_sizes(size):
    """Those that `make gpu` measures: as many bytes an access, and no more in memory than there must be."""
    [subject] = [each for each in PLAIN if each.entry.name == "adam"]
    built = compiled.compile_for(recipe_of(subject)[0], torch.float32, size=size)
    each = size[0] * 4 // (16 * 32 * size[1])
    assert accesses(built.asm["ptx"], "ld") == 4 * each and accesses(built.asm["ptx"], "st") == 3 * each
    used = resources(built.asm["cubin"])
    assert used["STACK"] <= 8 and used["LOCAL"] == 0 and used["REG"] <= 128
