"""Moments in 8 bits beside sharded parameters: each process has its own blocks, a gathered checkpoint all of them."""

import copy
import os
import traceback

import pytest
import torch
from sharding import needs_fsdp2
from torch import distributed

import processes
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


def laid(dim, state_dtype="int8", steps=0, rank=0):
    """A layer sharded along one of its dimensions: as many blocks a shard, of other elements."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128, bias=False))
    fully_shard(model, mesh=init_device_mesh("cpu", (RANKS,)), shard_placement_fn=lambda p: Shard(dim))
    optimizer = optim.Adam(model.parameters(), lr=0.01, state_dtype=state_dtype)
    train(model, optimizer, rank, range(steps))
    return model, optimizer


def resharded(rank, folder):
    """Codes saved along dimension 0, loaded along 1: DTensors and float32 go, codes split anew are refused."""
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint import state_dict

    model, optimizer = laid(0, steps=3, rank=rank)
    full = {name: whole(value) for name, value in optimizer.full_state_dict()["state"][0].items()}
    told = {}

    other, own = laid(1, steps=1, rank=rank)
    own.load_state_dict(optimizer.state_dict())
    own.param_groups[0]["lr"] = 0.0
    assert all(torch.equal(whole(v), full[n]) for n, v in own.full_state_dict()["state"][0].items())
    train(other, own, rank, [3])
    placed = own.state[other[0].weight]["exp_avg"]
    assert placed.dtype == torch.uint8 and placed.placements == other[0].weight.placements

    def refused(way, load, other, own):
        before = local(other, own)
        try:
            load()
        except (RuntimeError, ValueError) as error:
            told[way] = str(error)
        after = local(other, own)
        assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before), way

    gathered = state_dict.StateDictOptions(full_state_dict=True)
    saved = [state_dict.get_optimizer_state_dict(model, optimizer, options=gathered)]
    distributed.broadcast_object_list(saved)
    other, own = laid(1, steps=1, rank=rank)
    refused("gathered", lambda: state_dict.set_optimizer_state_dict(other, own, saved[0], options=gathered), other, own)

    at = f"{folder}/sharded"
    checkpoint.save({"optimizer": state_dict.get_optimizer_state_dict(model, optimizer)}, checkpoint_id=at)
    for way, dim, dtype in (("sharded", 1, "int8"), ("into floats", 0, "float32"), ("same", 0, "int8")):
        other, own = laid(dim, dtype, steps=1, rank=rank)
        found = {"optimizer": state_dict.get_optimizer_state_dict(other, own)}
        found = copy.deepcopy(found)
        checkpoint.load(found, checkpoint_id=at)
        load = lambda: state_dict.set_optimizer_state_dict(other, own, found["optimizer"])  # noqa: B023, E731
        if way == "same":
            load()
            assert all(torch.equal(whole(v), full[n]) for n, v in own.full_state_dict()["state"][0].items())
        else:
            refused(way, load, other, own)

    at = f"{folder}/full"
    checkpoint.save({"optimizer": optimizer.full_state_dict()}, checkpoint_id=at)
    other, own = laid(1, steps=1, rank=rank)
    found = {"optimizer": own.full_state_dict()}
    checkpoint.load(found, checkpoint_id=at)
    own.load_state_dict(found["optimizer"])
    own.param_groups[0]["lr"] = 0.0
    held = {name: whole(value) for name, value in own.state[other[0].weight].items()}
    assert all(torch.equal(held[name], full[name]) for name in full)  # float32, along dimension 1
    train(other, own, rank, [3])
    assert own.state[other[0].weight]["exp_avg"].dtype == torch.uint8
    return told


def work_resharded(rank, folder):
    work(rank, folder, lambda rank: resharded(rank, folder))


def work(rank, folder, outcome=outcome):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    try:
        left = outcome(rank)
    except Exception:
        left = traceback.format_exc()
    torch.save(left, f"{folder}/{rank}.pt")
    os._exit(0)  # without a farewell, as in test_distributed.py


@needs_fsdp2
def test_shards_resume_bit_for_bit_from_a_gathered_checkpoint(tmp_path):
    """Resumed in 8 bits from codes and scales, and from float32, as if it had never stopped."""
    processes.start(work, (str(tmp_path),), RANKS)
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


@needs_fsdp2
def test_codes_of_another_sharding_are_refused_and_float32_goes_through_a_distributed_checkpoint(tmp_path):
    """The scales have the same shapes: only what is written beside them tells that they are of other blocks."""
    processes.start(work_resharded, (str(tmp_path),), RANKS)
    for rank in range(RANKS):
        told = torch.load(tmp_path / f"{rank}.pt")
        assert not isinstance(told, str), told
        for way in ("gathered", "sharded"):
            assert (
                "exp_avg" in told[way] and "blocks of other elements" in told[way] and "full_state_dict()" in told[way]
            )
        assert "codes of 8 bits that were copied into torch.float32" in told["into floats"]
