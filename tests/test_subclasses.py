"""Tensors that are more, or less, than plain memory: classes with operations of their own, or with none to point at."""

import math
import warnings

import pytest
import torch
from subjects import FAST, PLAIN, give
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.utils import _pytree as pytree

import thalweg.optim as optim
from thalweg.tensors.subclasses import ordinary, plain

SHAPE = (6, 5)
EVERY = [subject for subject in PLAIN if subject.entry.name != "adahessian"]  # it refuses them: below


def drawn(seed, shape=SHAPE, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


KEPT = [getattr(torch.ops.aten, name).default for name in ("detach", "empty_like", "copy_", "view", "clone")]


class Wrapped(torch.Tensor):
    """As torchao's float8 weights are: no memory of its own, operations act on the tensor inside."""

    @staticmethod
    def __new__(cls, inside):
        return torch.Tensor._make_wrapper_subclass(
            cls, inside.shape, strides=inside.stride(), dtype=inside.dtype, device=inside.device
        )

    def __init__(self, inside):
        self.inside = inside

    @classmethod
    def __torch_dispatch__(cls, function, types, args, kwargs=None):
        args, kwargs = pytree.tree_map_only(cls, lambda each: each.inside, (args, kwargs or {}))
        out = function(*args, **kwargs)
        return pytree.tree_map_only(torch.Tensor, cls, out) if function in KEPT else out


class Rotation(torch.Tensor):
    """As pypose's SO3 is: a unit quaternion (x, y, z, w), to which one adds by turning it."""

    def __new__(cls, values):
        return values.as_subclass(cls)

    def add_(self, other, *, alpha=1):
        values, turn = self.detach().as_subclass(torch.Tensor), (alpha * other).as_subclass(torch.Tensor)[..., :3]
        angle = turn.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        x = torch.cat([torch.sin(angle / 2) * turn / angle, torch.cos(angle / 2)], dim=-1)
        (a, s), (b, t) = (x[..., :3], x[..., 3:]), (values[..., :3], values[..., 3:])
        values.copy_(torch.cat([s * b + t * a + torch.linalg.cross(a, b), s * t - (a * b).sum(-1, keepdim=True)], -1))
        return self


class Rows(torch.Tensor):
    """Memory whose rows keep the length 1 whatever is added to them, by `__torch_dispatch__`."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values):
        return torch.Tensor._make_subclass(cls, values, True)

    @classmethod
    def __torch_dispatch__(cls, function, types, args, kwargs=None):
        with torch._C._DisableTorchDispatch():
            out = function(*args, **(kwargs or {}))
            if function is torch.ops.aten.add_.Tensor:
                torch.ops.aten.div_(args[0], torch.ops.aten.linalg_vector_norm(args[0], 2, [-1], True))
        return args[0] if function._schema.name.endswith("_") else out


class RotationParameter(Rotation, torch.nn.Parameter):
    def __new__(cls, values):
        return torch.Tensor._make_subclass(cls, values, True)


class Bookkeeping(torch.Tensor):
    """A class that looks on at every operation."""

    seen = 0

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        cls.seen += 1
        return super().__torch_function__(function, types, args, kwargs or {})


class Named(torch.nn.Parameter):
    """A class that torch's operations take as any parameter."""

    def __new__(cls, data):
        return super().__new__(cls, data)


def stepped(build, param, steps=3, inside=lambda p: p):
    optimizer = build([param])
    for step in range(steps):
        give(optimizer, param, drawn(10 + step).to(param.dtype))
        optimizer.step()
    return inside(param).detach()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("subject", EVERY, ids=str)
def test_a_parameter_without_memory_of_its_own_is_stepped_through_its_operations(subject, dtype):
    """`data_ptr()` is 0 there: a kernel would write to it, and end the process."""
    build = lambda params: subject.build(params, engine="reference")  # noqa: E731
    held = drawn(1, dtype=dtype)
    wrapped = torch.nn.Parameter(Wrapped(held.clone()))
    assert type(wrapped) is Wrapped and wrapped.data_ptr() == 0
    expected = stepped(build, torch.nn.Parameter(held.clone()))
    assert torch.equal(stepped(subject.build, wrapped, inside=lambda p: p.inside), expected)


def test_schedule_free_goes_to_its_average_and_back_without_memory():
    ends = []
    for start, inside in ((Wrapped(drawn(1)), lambda p: p.inside), (drawn(1), plain)):
        p = torch.nn.Parameter(start)
        optimizer = optim.ScheduleFreeSGD([p], lr=0.1, engine="reference")
        y = stepped(lambda _, o=optimizer: o, p, inside=inside).clone()
        optimizer.eval()
        x = inside(p).clone()
        optimizer.train()
        assert torch.equal(inside(p), y) and not torch.equal(x, y)
        ends.append(x)
    assert torch.equal(*ends)


def fake_step(subject, steps):
    """An optimizer of a model without numbers, after its steps."""
    with FakeTensorMode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        model = torch.nn.Linear(5, 3)
        optimizer = subject.build(model.parameters())
        for _ in range(steps):
            model(torch.ones(2, 5)).sum().backward()
            optimizer.step()
        return [each for each in optimizer.state[model.weight].values() if each.dim()]


@pytest.mark.parametrize("subject", [each for each in EVERY if not each.entry.rule.per_tensor], ids=str)
def test_fake_tensors_are_stepped_as_torch_steps_them(subject):
    """For who estimates memory, or traces: nothing is computed, and the state is there."""
    held = fake_step(subject, 2)
    assert all(type(each).__name__ == "FakeTensor" for each in held)
    assert not subject.entry.rule.states or held


@pytest.mark.parametrize("subject", [each for each in EVERY if each.entry.rule.per_tensor], ids=str)
def test_fake_tensors_have_nothing_to_measure(subject):
    with pytest.raises(RuntimeError, match="FakeTensor.*measures"):
        fake_step(subject, 1)


@pytest.mark.parametrize("engine", ["auto", "reference", FAST])
def test_a_gradient_that_is_still_on_its_way_is_waited_for(engine):
    p, other = (torch.nn.Parameter(drawn(1)) for _ in range(2))
    optimizer, plain = optim.Adam([p], engine=engine), optim.Adam([other], engine=engine)
    for step in range(4):  # any step may be the first that has one
        p.grad, other.grad = drawn(step), drawn(step)
        if step % 2:
            p.grad = AsyncCollectiveTensor(p.grad)
            assert p.grad.data_ptr() == 0
        optimizer.step()
        plain.step()
    assert torch.equal(p, other)


@pytest.mark.parametrize("engine", ["auto", "reference", FAST])
def test_a_gradient_without_memory_is_read_through_its_operations(engine):
    p, other = (torch.nn.Parameter(drawn(1)) for _ in range(2))
    for each, g in ((p, Wrapped(drawn(2))), (other, drawn(2))):
        each.grad = g
        optim.SGD([each], engine=engine).step()
    assert torch.equal(p, other)


@pytest.fixture
def alone(tmp_path):
    """A process group of one."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "LAMB", "Prodigy"])
def test_shards_without_memory_of_their_own(name, engine, alone):
    """FSDP2 with float8 weights, and gradients of a collective that has not ended."""
    from torch.distributed.tensor import DTensor, Shard

    make = lambda part: DTensor.from_local(part, alone, [Shard(0)])  # noqa: E731
    p, other = torch.nn.Parameter(make(Wrapped(drawn(1)))), torch.nn.Parameter(make(drawn(1)))
    assert type(p._local_tensor) is Wrapped
    for each, of in ((p, AsyncCollectiveTensor), (other, lambda g: g)):
        optimizer = getattr(optim, name)([each], engine="reference" if each is other else engine)
        for step in range(3):
            each.grad = make(of(drawn(10 + step)))
            optimizer.step()
    assert torch.equal(p._local_tensor.inside, other._local_tensor)


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"weight_decay": 0.1, "maximize": True}], ids=str)
def test_a_class_with_an_addition_of_its_own_is_added_to_by_it(settings):
    """Twenty steps leave a rotation a rotation, and lead where torch's steps lead."""
    start = torch.nn.functional.normalize(drawn(1, (7, 4)), dim=-1)
    target = torch.nn.functional.normalize(drawn(2, (7, 4)), dim=-1)
    ends = []
    for module in (optim, torch.optim):
        p = RotationParameter(start.clone())
        optimizer = module.SGD([p], lr=0.1, **settings)
        for _ in range(20):
            values = p.detach().as_subclass(torch.Tensor)
            p.grad = (values - target).as_subclass(Rotation)
            optimizer.step()
        ends.append(p.detach().as_subclass(torch.Tensor))
    ours, torchs = ends
    assert not torch.allclose(ours, start, atol=0.1)
    assert torch.allclose(ours.norm(dim=-1), torch.ones(7), atol=1e-5)
    if "momentum" not in settings:  # torch turns the momentum buffer, too, in place of adding to it
        assert torch.allclose(ours, torchs, atol=1e-5)


@pytest.mark.parametrize("build", [optim.SGD, optim.Adam, optim.RMSprop])
def test_memory_whose_operations_are_dispatched_is_added_to_by_them(build):
    p = Rows(torch.nn.functional.normalize(drawn(1), dim=-1))
    before = plain(p.detach()).clone()
    optimizer = build([p], lr=0.05)
    for step in range(5):
        p.grad = drawn(step)
        optimizer.step()
    after = plain(p.detach())
    assert torch.allclose(after.norm(dim=-1), torch.ones(6), atol=1e-6) and not torch.allclose(after, before, atol=0.01)


@pytest.mark.parametrize("subject", EVERY, ids=str)
def test_a_rotation_stays_one_under_every_rule_or_is_refused(subject):
    p = RotationParameter(torch.nn.functional.normalize(drawn(1, (7, 4)), dim=-1))
    before = p.detach().as_subclass(torch.Tensor).clone()
    optimizer = subject.build([p])
    copies = "p" in subject.entry.rule.initial.values()
    try:
        for step in range(5):
            p.grad = drawn(step, (7, 4))
            optimizer.step()
    except RuntimeError as error:
        assert copies and "RotationParameter" in str(error)
        assert torch.equal(p.detach().as_subclass(torch.Tensor), before) and not optimizer.state
    else:
        assert not copies
        after = p.detach().as_subclass(torch.Tensor)
        assert torch.allclose(after.norm(dim=-1), torch.ones(7), atol=1e-5) and not torch.equal(after, before)


def test_a_class_that_looks_on_is_asked_and_one_that_adds_nothing_is_plain_memory():
    expected = stepped(lambda params: optim.Adam(params), torch.nn.Parameter(drawn(1)))
    onlooker = drawn(1).as_subclass(Bookkeeping).requires_grad_()
    optimizer = optim.Adam([onlooker])
    for step in range(3):
        onlooker.grad = drawn(10 + step)
        before = Bookkeeping.seen
        optimizer.step()
    assert Bookkeeping.seen > before
    assert torch.allclose(onlooker.detach().as_subclass(torch.Tensor), expected, atol=1e-6)
    assert torch.equal(stepped(lambda params: optim.Adam(params, engine=FAST), Named(drawn(1))), expected)


@pytest.mark.parametrize("make", [lambda: torch.nn.Parameter(Wrapped(drawn(1))), lambda: RotationParameter(drawn(1))])
@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda p: optim.Adam([p], engine=FAST), ValueError, "has operations of its own"),
        (lambda p: optim.Adam([p], state_dtype="int8"), ValueError, "keeps full state"),
        (lambda p: optim.Adam([p], differentiable=True), RuntimeError, "differentiable=True"),
        (lambda p: optim.AdaHessian([p]), RuntimeError, "curvature"),
    ],
)
def test_what_such_a_class_cannot_have_is_refused_before_anything_moves(make, build, error, words):
    p = make()
    with pytest.raises(error, match=words):
        optimizer = build(p)
        give(optimizer, p, drawn(2))
        optimizer.step()


def test_sparse_gradients_of_such_a_class_are_refused():
    p = torch.nn.Parameter(Wrapped(drawn(1)))
    p.grad = drawn(2).to_sparse(1)
    with pytest.raises(RuntimeError, match="sparse gradient"):
        optim.SGD([p]).step()
    assert torch.equal(p.inside, drawn(1))


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("whose", ["parameter", "gradient"])
def test_memory_that_was_given_back_is_refused(whose, engine):
    """FSDP frees a parameter's storage between its uses."""
    p, other = (torch.nn.Parameter(drawn(seed)) for seed in (1, 2))
    p.grad, other.grad = drawn(3), drawn(4)
    optimizer = optim.Adam([other, p], engine=engine)
    optimizer.step()
    held, count = other.detach().clone(), optimizer.state[other]["step"].item()
    (p if whose == "parameter" else p.grad).untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match=r"parameter 1 of shape \(6, 5\).*has no memory"):
        optimizer.step()
    assert torch.equal(other, held) and optimizer.state[other]["step"].item() == count
    p.grad = None  # frozen: nobody asks where it is
    optimizer.step()
    assert not torch.equal(other, held)


def test_tensors_inside_a_transform_are_refused():
    p = torch.nn.Parameter(drawn(1))
    p.grad = drawn(2)

    def inside(x):
        q = torch.ones(3) * x
        optimizer = optim.SGD([torch.zeros(3)])
        optimizer.param_groups[0]["params"][0].grad = q
        optimizer.step()
        return x

    with pytest.raises(RuntimeError, match="has no memory"):
        torch.func.vmap(inside)(torch.ones(2))


def test_inference_tensors_are_refused_outside_as_torch_refuses_them():
    with torch.inference_mode():
        p = torch.nn.Parameter(drawn(1))
    p.grad = drawn(2)
    optimizer = optim.Adam([p])
    with pytest.raises(RuntimeError, match="inference"):
        optimizer.step()
    assert torch.equal(p, drawn(1)) and not optimizer.state
    with torch.inference_mode():
        optimizer.step()
    assert not torch.equal(p.clone(), drawn(1))


def test_the_fast_path_knows_its_classes():
    assert all(map(ordinary, (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer, Named)))
    assert not any(map(ordinary, (Wrapped, Rotation, RotationParameter, Bookkeeping, AsyncCollectiveTensor)))
    assert math.isfinite(Bookkeeping.seen)
