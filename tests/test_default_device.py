"""torch.set_default_device says where a user's tensors are made, not where an optimizer keeps its own."""

import ast
from pathlib import Path

import pytest
import torch
import torch._dynamo  # torch 2.6 cannot import it under a default device without data, and does in every state_dict()
from elsewhere import There
from subjects import DEVICE, FAST, PLAIN, give

import thalweg
import thalweg.optim as optim
from thalweg.catalogue import CATALOGUE
from thalweg.optimizers.stacked import Together

SHAPES = [(40, 120), (5,)]  # one that is large enough for small state
SMALL = [subject for subject in PLAIN if subject.entry.rule.moments]
SPARSE = [entry for entry in CATALOGUE.values() if entry.rule.sparse]
FACTORIES = {"zeros", "ones", "empty", "full", "arange", "tensor", "as_tensor", "rand", "randn", "randint", "eye"}
FACTORIES |= {"linspace", "empty_strided", "scalar_tensor", "asarray", "normal", "randperm"}


@pytest.fixture
def abroad():
    """Switches to a default device on which there is nothing to compute with, and back at the end."""
    before = torch.get_default_device()

    def go(there=True):
        torch.set_default_device("meta" if there else before)

    yield go
    torch.set_default_device(before)


def drawn(shape, seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def outcome(subject, settings, dtype, go=lambda there: None):
    """Where four steps lead, the last two from a checkpoint."""
    params = [torch.nn.Parameter(drawn(shape, 1, dtype)) for shape in SHAPES]
    if settings.get("differentiable"):
        params = [p.clone() for p in params]  # steps are recorded, which leaves do not allow
    steps = [[drawn(shape, 2 + step, dtype) for shape in SHAPES] for step in range(4)]
    go(True)
    optimizer = subject.build(params, **settings)
    for step, values in enumerate(steps):
        for p, g in zip(params, values, strict=True):
            give(optimizer, p, g)
        optimizer.step()
        if step == 1:
            saved = optimizer.state_dict()
            optimizer = subject.build(params, **settings)
            optimizer.load_state_dict(saved)
    go(False)
    return [p.detach() for p in params]


def same(one, two):
    return all(map(torch.equal, one, two))


@pytest.mark.parametrize(
    ("kind", "subject", "engine"),
    [
        *[("full", subject, engine) for subject in PLAIN for engine in ("reference", FAST)],
        # A tensor made for 16-bit parameters or codes is made for every rule alike.
        *[("bfloat16", subject, engine) for engine in ("reference", FAST) for subject in PLAIN[::4]],
        *[("int8", subject, engine) for engine in ("reference", FAST) for subject in SMALL[::4]],
    ],
    ids=str,
)
def test_steps_are_what_they_are_under_any_default_device(kind, subject, engine, abroad):
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    settings = {"engine": engine} | ({"state_dtype": "int8"} if kind == "int8" else {})
    assert same(outcome(subject, settings, dtype, abroad), outcome(subject, settings, dtype))


@pytest.mark.parametrize("engine", ["reference", FAST])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("entry", SPARSE, ids=lambda entry: entry.name)
def test_sparse_steps_too(entry, dtype, engine, abroad):
    def lead(go=lambda there: None):
        p = torch.nn.Parameter(drawn((6, 3), 1, dtype))
        rows = torch.tensor([[0, 2, 2]], device=DEVICE)
        steps = [torch.sparse_coo_tensor(rows, drawn((3, 3), seed, dtype), (6, 3), device=DEVICE) for seed in range(3)]
        go(True)
        optimizer = entry.build([p], engine=engine)
        for p.grad in steps:
            optimizer.step()
        go(False)
        return [p.detach()]

    assert same(lead(abroad), lead())


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_norm": 1.0, "on_nonfinite": "skip_step"},
        {"rounding": "kahan"},
        {"rounding": "master"},
        {"cautious": True},
        {"lr": torch.tensor(0.1, device="cpu"), "capturable": True},
        {"differentiable": True, "lr": torch.tensor(0.1, device="cpu")},
    ],
    ids=str,
)
def test_and_what_stands_around_the_rules(settings, abroad):
    [subject] = [subject for subject in PLAIN if subject.entry.name == "adam"]
    dtype = torch.bfloat16 if "rounding" in settings else torch.float32
    assert same(outcome(subject, settings, dtype, abroad), outcome(subject, settings, dtype))


def test_a_step_without_any_gradient_is_guarded_abroad(abroad):
    p = torch.nn.Parameter(drawn((3,), 1, torch.float32))
    optimizer = optim.Adam([p], clip_norm=1.0)
    abroad()
    optimizer.step()
    assert optimizer.guard.last_norm == 0


def test_checkpoints_are_converted_and_lanes_step_abroad(abroad):
    params = [torch.nn.Parameter(drawn((3,), 1, torch.float32)) for _ in range(2)]
    gradients = [drawn((3,), 2, torch.float32) for _ in params]
    abroad()
    both = Together([optim.Adam([p]) for p in params])
    both.step(gradients)
    theirs = optim.convert(both.optimizers[0].state_dict(), from_="thalweg", to="torch")
    assert optim.convert(theirs, from_="torch", to="thalweg")["param_groups"][0]["rounding"] == "stochastic"
    assert theirs["state"][0]["step"].device.type == "cpu" and same(*[[p.detach()] for p in params])


STEPPING = (
    *("rule", "rules", "tensors", "update", "plan", "engines", "optimizers", "optim", "conformance", "differences"),
    *("play", "lab/random", "lab/training", "lab/runners", "lab/recording", "lab/cost", "lab/search", "lab/judging"),
)
# The built-in tasks are the user's kind of code: their text is what a study knows them by.


def test_every_factory_in_what_steps_names_its_device():
    """Of a factory without a device no test on a machine without that device would tell."""
    root = Path(thalweg.__file__).parent
    lacking = []
    own = ["*.py", *(f"{each}/**/*.py" for each in STEPPING)]
    for path in sorted({path for pattern in own for path in root.glob(pattern)}):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FACTORIES:
                of_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
                if of_torch and not any(each.arg == "device" for each in node.keywords):
                    lacking.append(f"{path.name}:{node.lineno}")
    assert not lacking


def test_the_device_that_tests_run_on_is_no_default_device():
    """`make test-cuda` makes the tests' tensors elsewhere; the library's it leaves where they would be at a user's."""
    library = {"torch": torch}
    exec(compile("def make():\n    return torch.zeros(2)", thalweg.__file__, "exec"), library)
    with There(torch.device("meta")):
        ours, theirs, named = torch.zeros(2), library["make"](), torch.zeros(2, device="cpu")
        drawn_here = torch.randn(2, generator=torch.Generator().manual_seed(0))
        [held] = torch.nn.Linear(2, 2, bias=False).parameters()
    kinds = [tensor.device.type for tensor in (ours, theirs, named, drawn_here, held)]
    assert kinds == ["meta", "cpu", "cpu", "meta", "meta"]


TRIED = ("zero_length", "zero_dimensions", "complex_numbers", "mixed_dtypes", "tensor_lr", "closure", "split_groups")


def test_laws_and_differences_are_told_abroad(abroad):
    """They make what they try an optimizer on themselves."""

    def told(there):
        abroad(there)
        report = thalweg.conform(torch.optim.SGD, laws=TRIED, apart=False)
        return str(report), str(thalweg.explain_difference("torch.optim.SGD", "thalweg.optim.SGD", steps=3))

    assert told(True) == told(False)
