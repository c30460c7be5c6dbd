"""Step counts are exact beyond what a float32 can count, and numbers carried from step to step are doubles."""

from copy import deepcopy

import pytest
import torch
from subjects import DEVICE, parameters

import thalweg.optim as optim

FAR = 2**24


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("name", ["Adam", "NAdam", "SGD"])
def test_counting_does_not_stall(name, engine):
    [p] = parameters([(5,)], torch.bfloat16)
    optimizer = getattr(optim, name)([p], lr=1e-4, engine=engine)
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.state[p]["step"].fill_(FAR)
    for _ in range(3):
        optimizer.step()
    assert optimizer.state[p]["step"].item() == FAR + 3
    # and on a device of its own, where a kernel counts
    again = getattr(optim, name)([p], lr=1e-4, engine=engine)
    again.load_state_dict(optimizer.state_dict())
    again.step()
    assert again.state[p]["step"].item() == FAR + 4


def test_counting_does_not_stall_where_a_kernel_counts(monkeypatch):
    if DEVICE.type == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    [p] = parameters([(5,)], torch.float32)
    optimizer = optim.Adam([p], capturable=True, engine="cuda")
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.state[p]["step"].fill_(FAR)
    for _ in range(3):
        optimizer.step()
    assert optimizer.state[p]["step"].item() == FAR + 3


def test_random_bits_go_on():
    """A bfloat16 of 1 and steps of a hundredth of its spacing: it moves if the bits of later steps are others."""
    [p] = parameters([(1000,)], torch.bfloat16)
    with torch.no_grad():
        p.fill_(1.0)
    p.grad = torch.ones_like(p)
    optimizer = optim.SGD([p], lr=4e-5)
    optimizer.step()
    optimizer.state[p]["step"].fill_(FAR)
    for _ in range(400):
        optimizer.step()
    assert p.float().mean().item() == pytest.approx(1 - 401 * 4e-5, abs=3e-3)


@pytest.mark.parametrize("name", ["NAdam", "ScheduleFreeAdamW", "ScheduleFreeSGD", "ASGD"])
def test_carried_numbers_are_doubles(name):
    """With a rate that is no float32, a carried sum or product differs from its rounding."""
    [p] = parameters([(3,)], torch.float64)
    optimizer = getattr(optim, name)([p], lr=0.1)
    p.grad = torch.ones_like(p)
    for _ in range(50):
        optimizer.step()
    held = {key: value for key, value in optimizer.state[p].items() if value.dim() == 0}
    assert all(value.dtype == torch.float64 for value in held.values())
    carried = [float(value) for key, value in held.items() if key != "step"]
    assert any(torch.tensor(value, dtype=torch.float32).item() != value for value in carried)


def test_nothing_is_rounded_between_save_and_load():
    outcome = []
    for resumed in (False, True):
        [p] = parameters([(3,)], torch.float64)
        optimizer = optim.NAdam([p])
        p.grad = torch.ones_like(p)
        for step in range(20):
            if resumed and step == 10:
                saved = optimizer.state_dict()
                optimizer = optim.NAdam([p])
                optimizer.load_state_dict(saved)
            optimizer.step()
        outcome.append(p.detach().clone())
    assert torch.equal(*outcome)


def test_prodigy_stays_finite_under_a_constant_gradient():
    """The case that turned to NaN at step 44."""
    [p] = parameters([(4,)], torch.float32)
    optimizer = optim.Prodigy([p])
    p.grad = torch.ones_like(p)
    for step in range(100):
        optimizer.step()
        assert p.isfinite().all(), step


SWITCHES = [{}, {"foreach": True}, {"foreach": False}, {"fused": True}]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "ASGD", "Adagrad"])
def test_checkpoints_cross_to_torch_and_back(name, switches):
    theirs = getattr(torch.optim, name)
    if "fused" in switches and name not in ("Adam", "AdamW", "Adagrad"):
        pytest.skip("torch has no fused one")
    [p], [q] = parameters([(6,)], torch.float32), parameters([(6,)], torch.float32)
    mine, other = getattr(optim, name)([p], **switches), theirs([q], **switches)
    for _ in range(5):
        p.grad = q.grad = torch.linspace(-1, 2, 6)
        mine.step()
        other.step()
    [r], [s] = parameters([(6,)], torch.float32), parameters([(6,)], torch.float32)
    with torch.no_grad():
        r.copy_(p)
        s.copy_(q)
    to_torch, to_mine = theirs([r], **switches), getattr(optim, name)([s], **switches)
    to_torch.load_state_dict(deepcopy(mine.state_dict()))  # torch takes a count over as it is
    to_mine.load_state_dict(deepcopy(other.state_dict()))
    for _ in range(5):
        for each in (p, q, r, s):
            each.grad = torch.linspace(-1, 2, 6)
        for optimizer in (mine, other, to_torch, to_mine):
            optimizer.step()
    assert torch.allclose(r, p, rtol=1e-5, atol=1e-6) and torch.allclose(s, q, rtol=1e-5, atol=1e-6)
    assert to_torch.state[r]["step"] == 10 == to_mine.state[s]["step"]


def test_what_convert_makes_has_torchs_dtypes():
    [p], [q] = parameters([(6,)], torch.float32), parameters([(6,)], torch.float32)
    mine, other = optim.NAdam([p]), torch.optim.NAdam([q])
    p.grad = q.grad = torch.ones(6)
    mine.step()
    other.step()
    made = optim.convert(mine.state_dict(), from_="thalweg", to="torch")
    for name, value in other.state_dict()["state"][0].items():
        assert made["state"][0][name].dtype == value.dtype
    assert optim.convert(made, from_="torch", to="thalweg")["state"][0]["step"] == 1
