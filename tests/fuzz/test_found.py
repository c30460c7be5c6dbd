"""What the fuzzer has found, each in the fewest lines: faults that were ours, and stay mended."""

import pytest
import torch

import thalweg.optim as optim


def stepped(optimizer, p):
    p.grad = torch.ones_like(p)
    optimizer.step()


def moved(value, way):
    """Other memory under the same tensor; what it leaves is given to others."""
    if way == "data":
        value.data = value.data.clone()
    elif way == "shared":
        value.share_memory_()
    else:
        kept, storage, size = value.clone(), value.untyped_storage(), value.untyped_storage().nbytes()
        storage.resize_(0)
        held = torch.full(value.shape, 7.0)
        storage.resize_(size)
        value.copy_(kept)
        return held
    return torch.full(value.shape, 7.0)


@pytest.mark.parametrize("way", ["data", "shared", "resized"])
def test_a_state_may_move_in_memory(way):
    """The old address was written to: lost, or somebody else's."""
    p = torch.nn.Parameter(torch.ones(1000))
    optimizer = optim.Adam([p], engine="cpu")
    stepped(optimizer, p)
    junk = moved(optimizer.state[p]["exp_avg"], way)
    stepped(optimizer, p)
    assert torch.allclose(optimizer.state[p]["exp_avg"], torch.tensor(0.19)) and (junk == 7.0).all()


@pytest.mark.parametrize("name", ["step", "exp_avg_sq"])
def test_shared_states_go_on(name):
    p = torch.nn.Parameter(torch.ones(10))
    optimizer = optim.Adam([p])
    stepped(optimizer, p)
    optimizer.state[p][name].share_memory_()
    stepped(optimizer, p)
    assert optimizer.state[p]["step"] == 2


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_a_parameter_that_comes_back_to_its_old_address_is_stepped(engine):
    """Its first storage went elsewhere meanwhile, and to the reference that one was still the parameter."""
    for _ in range(50):  # the allocator decides which address is given again
        p = torch.nn.Parameter(torch.ones(323))
        optimizer = optim.SGD([p], lr=1.0, engine=engine)
        stepped(optimizer, p)
        moved(p.data, "resized")
        with torch.no_grad():
            p.set_(p.detach().clone())
        stepped(optimizer, p)
        assert (p == -1.0).all()


def test_rprop_begins_with_the_rate_of_its_first_step():
    """A scheduler changes it before."""
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.Rprop([p], lr=0.1)
    assert not optimizer.state
    optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5)
    stepped(optimizer, p)
    assert torch.allclose(p, torch.tensor(0.95))


def test_nesterov_without_momentum_is_descent_and_keeps_the_buffer():
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True)
    stepped(optimizer, p)
    optimizer.param_groups[0]["momentum"] = 0.0
    p.grad = torch.full_like(p, 5.0)
    optimizer.step()
    assert torch.equal(optimizer.state[p]["momentum_buffer"], torch.ones(3))
    with pytest.raises(ValueError, match="Nesterov momentum requires a momentum"):
        optim.SGD([p], nesterov=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_with_gaps_in_memory_is_stepped(dtype):
    whole = torch.zeros(6, 8, dtype=dtype)
    p = torch.nn.Parameter(whole[:, ::2])
    optimizer = optim.SGD([p], lr=0.5)
    stepped(optimizer, p)
    assert (p == -0.5).all() and int((whole != 0).sum()) == 24
