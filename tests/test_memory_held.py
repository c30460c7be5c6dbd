"""Between steps an optimizer holds what is in its groups and states, and nothing else: what is given up is free."""

import gc
import weakref

import numpy as np
import pytest
import torch
from subjects import DEVICE, FAST, PLAIN, give

import thalweg.optim as optim

pytestmark = pytest.mark.skipif(DEVICE.type != "cpu", reason="memory is followed by NumPy's arrays")
KINDS = {
    "plain": ({}, torch.float32),
    "int8": ({"state_dtype": "int8"}, torch.float32),
    "master": ({"rounding": "master"}, torch.bfloat16),
    "capturable": ({"capturable": True}, torch.float32),
    "clipped": ({"clip_norm": 1.0}, torch.float32),
}


def parameter(seed=0, dtype=torch.float32, shape=(8, 600)):
    """A parameter, and a weak reference to its memory."""
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    if dtype == torch.bfloat16:
        values = values.view(np.int16)[:, 1::2].copy()  # the upper half of a float32's bits
    p = torch.nn.Parameter(
        torch.from_numpy(values).view(dtype) if dtype == torch.bfloat16 else torch.from_numpy(values)
    )
    return p, weakref.ref(values)


def stepped(optimizer, steps=2):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step in range(steps):
        for p in params:
            give(optimizer, p, torch.randn(p.shape, generator=torch.Generator().manual_seed(step)).to(p.dtype) / 100)
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


@pytest.fixture(autouse=True)
def no_collector():
    """What is free only once cycles are looked for is not free at once."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("engine", ["reference", FAST])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_parameter_or_a_state_leaves_is_free_at_once(kind, engine):
    settings, dtype = KINDS[kind]
    (p, memory), (q, _) = parameter(dtype=dtype), parameter(1, dtype)
    optimizer = stepped(optim.Adam([p, q], engine=engine, **settings))
    states = {name: weakref.ref(value) for name, value in optimizer.state[p].items()}
    p.data = p.data.clone()
    assert memory() is None
    for name, value in optimizer.state[p].items():
        optimizer.state[p][name] = value.clone()
    del value
    assert [name for name, held in states.items() if held() is not None] == []
    (whole, _), (other, _) = parameter(dtype=dtype), parameter(1, dtype)
    undisturbed = stepped(optim.Adam([whole, other], engine=engine, **settings), 4)
    for step in (2, 3):
        for each in (p, q):
            each.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(step)).to(p.dtype) / 100
        optimizer.step()
    assert torch.equal(p, whole) and undisturbed.state[whole]["step"] == optimizer.state[p]["step"] == 4


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_cleared_states_and_removed_groups_are_free_at_once(subject, engine):
    (p, memory), (q, _) = parameter(shape=(8, 6)), parameter(1, shape=(8, 6))
    optimizer = stepped(subject.build([{"params": [p]}, {"params": [q]}], engine=engine))
    states = [weakref.ref(value) for value in optimizer.state[p].values()]
    optimizer.state.clear()
    assert [held for held in states if held() is not None] == []
    stepped(optimizer)
    gone = weakref.ref(p)
    optimizer.state.pop(p, None)
    del optimizer.param_groups[0], p
    assert gone() is None and memory() is None
    stepped(optimizer)


def test_a_model_that_moves_leaves_nothing_behind():
    """As between the phases of reinforcement learning, where the optimizer's memory is lent to generation."""
    (p, memory) = parameter()
    model = torch.nn.Module()
    model.weight = p
    optimizer = stepped(optim.Adam(model.parameters()))
    for state in optimizer.state.values():
        state.update({name: value.double() for name, value in state.items()})
    model.to(torch.float64)
    assert memory() is None
    stepped(optimizer)
    assert optimizer.state[p]["step"] == 4


def test_sparse_rows_and_gradients_are_not_held():
    (p, memory) = parameter(shape=(6, 3))
    optimizer = optim.Adagrad([p])
    p.grad = torch.sparse_coo_tensor([[1, 4]], torch.ones(2, 3), (6, 3))
    optimizer.step()
    gradient, held = weakref.ref(p.grad), weakref.ref(optimizer.state[p]["sum"])
    p.grad = None
    optimizer.state[p]["sum"] = optimizer.state[p]["sum"].clone()
    p.data = p.data.clone()
    assert gradient() is None and held() is None and memory() is None


def test_a_step_that_fails_holds_nothing_either():
    (p, memory) = parameter()
    optimizer = stepped(optim.Adam([p]))
    p.grad = torch.ones_like(p)
    p.grad.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError):
        optimizer.step()
    p.data = p.data.clone()
    assert memory() is None


def test_an_object_in_the_place_of_one_that_ended_is_seen():
    """Python gives a new object the address of an old one: its identity is no proof."""
    p = torch.nn.Parameter(torch.zeros(4))
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    p.grad = torch.ones(4)
    optimizer.step()
    signature = optimizer._stepper._signature
    assert signature.same(signature)
    del optimizer.state[p]["momentum_buffer"]
    assert not signature.same(signature)
