"""Moments in 8 bits beside sharded parameters: each process has its own blocks, a gathered checkpoint all of them."""

import copy
import os
import traceback

import pytest
import torch
from torch import distributed

import thalweg.optim as optim

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="this torch has no gloo"
)
RANKS = 2


def train(model, optimizer, rank, steps):
    for step in steps:
        x = torch.randn(8, 64, generator=torch.Generator().manual_seed(step))[rank::RANKS]
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()


def sharded():
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 131), torch.nn.Tanh(), torch.nn.Linear(131, 7))
    fully_shard(model, mesh=init_device_mesh("cpu", (RANKS,)))
    return model, optim.Adam(model.parameters(), lr=0.01, state_dtype="int8")


def local(model, optimizer):
    """All that this process has, by name."""
    found = dict(model.named_parameters())
    for name, p in model.named_parameters():
        found |= {f"{name} {kind}": value for kind, value in optimizer.state[p].items()}
    return {name: getattr(value, "_local_tensor", value).detach().clone() for name, value in found.items()}


def whole(value):
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def outcome(rank):
    from torch.distributed.checkpoint import state_dict

    options = state_dict.StateDictOptions(full_state_dict=True)
    steady, own = sharded()
    train(steady, own, rank, range(6))
    model, optimizer = sharded()
    train(model, optimizer, rank, range(3))
    saved = [state_dict.get_model_state_dict(model, options=options)]
    saved.append(state_dict.get_optimizer_state_dict(model, optimizer, options=options))
    distributed.broadcast_object_list(saved)
    wide = optimizer.full_state_dict()["state"][0]
    again, resumed = sharded()
    state_dict.set_model_state_dict(again, saved[0], options=options)
    state_dict.set_optimizer_state_dict(again, resumed, saved[1], options=options)
    train(again, resumed, rank, range(3, 6))
    from_full = copy.deepcopy(optimizer.state_dict())
    from_full["state"][0] = wide
    optimizer.load_state_dict(from_full)
    train(model, optimizer, rank, range(3, 6))
    shapes = {name: tuple(value.shape) for name, value in optimizer.state[model[0].weight].items()}
    alone = optim.Adam([torch.nn.Parameter(torch.zeros(131, 64))], state_dtype="int8")
    gathered = {name: whole(value) for name, value in own.state[steady[0].weight].items()}
    with pytest.raises(RuntimeError, match=r"scales of \(33,\) .* and they are torch.uint8 of \(2, 17\)"):
        alone.load_state_dict({**alone.state_dict(), "state": {0: gathered}})
    return local(steady, own), local(again, resumed), local(model, optimizer), shapes


def work(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    try:
        left = outcome(rank)
    except Exception:
        left = traceback.format_exc()
    torch.save(left, f"{folder}/{rank}.pt")
    os._exit(0)  # without a farewell, as in test_distributed.py


def test_shards_resume_bit_for_bit_from_a_gathered_checkpoint(tmp_path):
    """Resumed in 8 bits from codes and scales, and from float32, as if it had never stopped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLOO_SOCKET_IFNAME", "lo")
        torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=RANKS)
    for rank in range(RANKS):
        left = torch.load(tmp_path / f"{rank}.pt")
        assert not isinstance(left, str), left
        steady, resumed, from_full, shapes = left
        assert steady["0.weight exp_avg"].dtype == torch.uint8
        assert steady["0.weight exp_avg"].shape == (66 - rank, 64) and steady["0.weight exp_avg_scale"].shape == (1, 17)
        assert shapes["exp_avg"] == (131, 64) and shapes["exp_avg_scale"] == (2, 17)
        for other in (resumed, from_full):
            assert other.keys() == steady.keys()
            assert all(torch.equal(other[name], steady[name]) for name in steady), [
                name for name in steady if not torch.equal(other[name], steady[name])
            ]
