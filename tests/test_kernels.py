"""What the compilers made of the rules: vector instructions, one precision, nothing compiled twice, NaN kept."""

import math
import re
import sys

import numba
import pytest
import torch
from subjects import EVERY_RULE_WITH_DECAY, FOR_KERNELS, PLAIN, TRANSFORMS, gradients, parameters, run

import thalweg
import thalweg.optim as optim
from compiling import needs_compiler
from thalweg import Rule
from thalweg.engines import cpu
from thalweg.engines.cuda import compiled, source
from thalweg.rule.hyperparameters import Rate
from thalweg.rule.words import abs, exp, log, maximum, minimum, sign, sqrt, tanh, where
from thalweg.update.update import Update

LIBRARY_CALLS = {"exp", "log", "tanh"}
SPAN = (numba.types.int64,) * 2 + (numba.types.int64[:, ::1],) * 2 + (numba.types.float32[:, ::1],)


def ways_in(function, *signature) -> set[str]:
    """Those that are compiled beside the function itself: from Python, from C."""
    function.compile(signature)
    [llvm] = function.inspect_llvm().values()
    return set(re.findall(r"^define .*@(?:_ZN\d+)?(cpython|cfunc)", llvm, re.M))


def recipe_of(subject) -> Update:
    optimizer = subject.build(parameters([(2,)], torch.float32))
    return optimizer._update(optimizer.param_groups[0])


def assembly_of(update: Update) -> str:
    """The machine code of the serial kernel, compiled anew: Numba does not show that of cached code."""
    module = cpu.build(update, torch.float32)
    span = numba.njit(**{**module.OPTIONS, "cache": False})(module.span.py_func)
    span.compile(SPAN)
    return "\n".join(span.inspect_asm().values())


@pytest.mark.parametrize("subject", [each for each in FOR_KERNELS if each.settings in ({}, *TRANSFORMS)], ids=str)
def test_the_loop_is_vectorised_and_free_of_float64(subject):
    update = recipe_of(subject)
    assembly = assembly_of(update)
    wide = re.findall(r"\bv(?:mul|add|sub|div|sqrt|fmadd\w*|fnmadd\w*|fmsub\w*|max)ps\s.*%[yz]mm", assembly)
    assert wide, "no arithmetic on whole vectors"
    if "sqrt" in update.program.words:
        assert re.search(r"\bv(?:sqrt|rsqrt14|rsqrt)ps\s.*%[yz]mm", assembly), "the root is not vectorized"
    doubles = re.findall(r"\bv?(?:cvtps2pd|cvtss2sd|cvtsd2ss|cvtpd2ps|\w+[ps]d)\s", assembly)
    doubles = [word for word in doubles if not re.match(r"v?(mov|xor|and|unpck|shuf|perm|broadcast)\w*", word.strip())]
    assert not doubles, f"double precision in the kernel: {doubles}"


@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_step_two_another_rate_and_another_step_count_compile_nothing(subject):
    params = parameters([(300,), (7,)], torch.float32)
    optimizer = subject.build(params)
    given = gradients([(300,), (7,)], 3, torch.float32)
    run(optimizer, given[:1])
    module = cpu.build(recipe_of(subject), torch.float32)
    compiled = (len(module.span.signatures), len(module.run.signatures))
    optimizer.param_groups[0]["lr"] = 0.123
    run(optimizer, given[1:])
    for state in optimizer.state.values():
        if "step" in state:
            state["step"].fill_(1000.0)
    run(optimizer, given)
    optimizer.param_groups[0]["lr"] = torch.tensor(0.5)
    run(optimizer, given)
    assert (len(module.span.signatures), len(module.run.signatures)) == compiled


@pytest.mark.parametrize("subject", EVERY_RULE_WITH_DECAY, ids=str)
def test_every_rule_compiles_for_sm_90_with_16_byte_accesses(subject):
    needs_compiler()
    update = recipe_of(subject)
    built = compiled.compile_for(update, torch.float32, capability=90)
    assert built.asm["cubin"]
    text = built.asm["ptx"]
    assert "sm_90" in text and ".f64" not in text
    reads, writes = len({*update.program.tensors} & update.program.used), len(update.program.written)
    accesses = source.BLOCK // (32 * source.WARPS * 4)  # a thread's 16-byte accesses to one array
    assert len(re.findall(r"ld\.global\.v4", text)) == reads * accesses
    assert len(re.findall(r"st\.global\.v4", text)) == writes * accesses


# -- one rule that says every word, to see them spelled alike on every engine -----------------------------------------


def every_step(step, *, lr: Rate = 0.5):
    return {"lr": lr}


def every_word(p, g, a, *, lr):
    big = maximum(abs(g), 0.25) + minimum(g, 0.1)
    a = sign(g) * sqrt(big + 1.0) + where(lr > 0.1, tanh(g), exp(g))
    p = p - lr * (log(big + 2.0) + maximum(p, g) - minimum(p, a)) * exp(-abs(g))
    return p, a


EVERY_WORD = Rule(
    name="every_word", title="Every word once", source="the tests", per_step=every_step, per_element=every_word
)


@pytest.mark.parametrize("engine", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_word_means_the_same_on_every_engine(engine, dtype, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    cls = thalweg.optimizer(EVERY_WORD)
    values = [0.0, -0.0, 1e-3, -3.0, 2.5, 0.25, 0.1, 7.0]
    outcome = {}
    for name in ("reference", engine):
        p = torch.nn.Parameter(torch.linspace(-2, 2, len(values), dtype=dtype))
        optimizer = cls([p], engine=name)
        for _ in range(3):
            p.grad = torch.tensor(values, dtype=dtype)
            optimizer.step()
        outcome[name] = torch.stack([p.detach(), optimizer.state[p]["a"]])
    tolerance = 100 * torch.finfo(dtype).eps
    assert torch.allclose(outcome[engine], outcome["reference"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ["reference", "cpu", "cuda"])
@pytest.mark.parametrize("line", ["sqrt(x)", "abs(x)", "exp(x)", "log(x)", "tanh(x)", "sign(x)"] + [
    f"{word}({pair})" for word in ("maximum", "minimum") for pair in ("x, 1.0", "1.0, x", "x, g", "g, x")
] + ["where(x > 0.0, x, x)"])  # fmt: skip
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")
def test_every_word_carries_nan_through(engine, line, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    (tmp_path / "one_word.py").write_text(f"""
from thalweg.rule.hyperparameters import Rate
from thalweg.rule.words import abs, exp, log, maximum, minimum, sign, sqrt, tanh, where
def per_step(step, *, lr: Rate = 1.0):
    return {{"lr": lr}}
def per_element(p, g, *, lr):
    x = g + 0.0 * p
    g = 0.0 * p + 1.0
    p = lr * {line}
    return p
""")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("one_word", None)
    import one_word

    rule = Rule(name="one_word", title=line, source="-", per_step=one_word.per_step, per_element=one_word.per_element)
    p = torch.nn.Parameter(torch.ones(19))
    p.grad = torch.full((19,), 2.0)
    p.grad[[0, 18]] = math.nan
    thalweg.optimizer(rule)([p], engine=engine).step()
    assert p.detach().isnan().tolist() == [True, *[False] * 17, True]


def test_the_adam_loop_is_one_pass():
    """Each array is read once and each result written once in the loop's text."""
    text = cpu.source(Update(optim.Adam.rules[0], ()), torch.float32)
    loop = text[text.index("for __i in") : text.index("@njit(parallel")]
    assert re.findall(r"(\w+) = _\w+\[__i\]", loop) == ["p", "g", "m", "v"]
    assert re.findall(r"_(\w+)\[__i\] = ", loop) == ["p", "m", "v"]


def test_no_way_into_a_kernel_is_compiled_that_nobody_takes():
    """A sixth of what the first step waits for."""
    module = cpu.build(Update(optim.Adam.rules[0], ()), torch.float32)
    root, span = numba.njit(**module.INSIDE)(module.sqrt.py_func), numba.njit(**module.OPTIONS)(module.span.py_func)
    assert ways_in(root, numba.types.float32) == set()
    assert ways_in(span, *SPAN) == {"cpython"}
