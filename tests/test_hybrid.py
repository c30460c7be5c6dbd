"""One optimizer with a rule for each role: the usual pair of torch's, in one step, one checkpoint, one guard."""

import copy
import os
import warnings
from functools import partial

import pytest
import torch
from sharding import needs_fsdp2
from torch import distributed, nn

import processes
import thalweg
import thalweg.optim as optim

THEIRS = getattr(torch.optim, "Muon", None)  # torch has it from 2.9 on
needs_torchs = pytest.mark.skipif(THEIRS is None, reason="this torch has no Muon")
TEXT = torch.randint(0, 13, (8, 12), generator=torch.Generator().manual_seed(5))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(
            width, 2, bias=False, batch_first=True
        )  # keys' biases would have gradients of 0: rounding
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        normed = self.before(x)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype)
        x = x + self.attention(normed, normed, normed, attn_mask=mask, need_weights=False)[0]
        return x + self.down(torch.relu(self.up(self.after(x))))


class Gpt(nn.Module):
    """Two layers, tied embeddings."""

    def __init__(self, width: int = 16, letters: int = 13) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(letters, width), nn.Embedding(12, width)
        self.blocks = nn.ModuleList([Block(width), Block(width)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, text):
        x = self.tokens(text) + self.places(torch.arange(text.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def gpt(dtype=torch.float32):
    torch.manual_seed(0)
    return Gpt().to(dtype)


def loss_of(model, text=TEXT):
    out = model(text[:, :-1])
    return nn.functional.cross_entropy(out.flatten(0, 1), text[:, 1:].flatten())


def train(model, optimizers, steps, text=TEXT):
    for _ in range(steps):
        for each in optimizers:
            each.zero_grad()
        loss = loss_of(model, text)
        loss.backward()
        for each in optimizers:
            each.step()
    return loss.item()


def parts(model):
    """By the parts of MuonAdamW: names that the model's author knows."""
    named = dict(model.named_parameters())
    matrices = [p for name, p in named.items() if p.dim() == 2 and "blocks" in name]
    decayed = [named["tokens.weight"], named["places.weight"]]
    rest = [p for p in named.values() if p.dim() == 1]
    assert len(matrices) + len(decayed) + len(rest) == len(named)
    return matrices, decayed, rest


def pair(model):
    matrices, decayed, rest = parts(model)
    groups = [{"params": decayed}, {"params": rest, "weight_decay": 0.0}]
    adamw = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    return [THEIRS(matrices, lr=0.02, weight_decay=0.1), adamw]


def ours(model, **settings):
    return optim.MuonAdamW(model, lr=0.02, adamw_lr=3e-3, **settings)


def close(one, other, start):
    """Within a thirtieth of the way they came: directions are rounded to bfloat16, and steps enlarge that."""
    for a, b, first in zip(one.parameters(), other.parameters(), start.parameters(), strict=True):
        assert (a - b).norm() < (a - first).norm() / 30 > 0


@needs_torchs
def test_it_is_the_pair_of_torchs_optimizers():
    mine, theirs = gpt(), gpt()
    start, optimizer, both = loss_of(mine).item(), ours(mine), pair(theirs)
    train(mine, [optimizer], 25)
    train(theirs, both, 25)
    close(mine, theirs, gpt())
    after, theirs_after = train(mine, [optimizer], 75), train(theirs, both, 75)
    assert after == pytest.approx(theirs_after, rel=5e-2) and after < 0.2 * start


@needs_torchs
def test_one_group_of_a_class_holds_the_parameters_of_several_parts_in_the_models_order():
    theirs = gpt()
    matrices = parts(theirs)[0]
    muon = THEIRS(matrices, lr=0.02, weight_decay=0.1)
    others = [p for p in theirs.parameters() if not any(p is each for each in matrices)]
    adamw = torch.optim.AdamW(others, lr=3e-3)
    train(theirs, [muon, adamw], 3)
    mine = copy.deepcopy(theirs)
    optimizer = ours(mine)
    optimizer.load_state_dict([muon.state_dict(), adamw.state_dict()])
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        moments = optimizer.state[p], {**muon.state.get(q, {}), **adamw.state.get(q, {})}
        name = "exp_avg" if "exp_avg" in moments[1] else "momentum_buffer"
        torch.testing.assert_close(moments[0][name], moments[1][name], rtol=0, atol=0)


@needs_torchs
def test_it_goes_on_from_the_pairs_checkpoints():
    theirs = gpt()
    muon, adamw = pair(theirs)
    train(theirs, [muon, adamw], 10)
    mine = copy.deepcopy(theirs)
    optimizer = ours(mine)
    optimizer.load_state_dict([muon.state_dict(), copy.deepcopy(adamw.state_dict())])
    train(mine, [optimizer], 10)
    train(theirs, [muon, adamw], 10)
    close(mine, theirs, gpt())
    with pytest.raises(ValueError, match="list of 1 groups; must have one for each part.* or one for each class: Muon"):
        optimizer.load_state_dict([muon.state_dict()])
    with pytest.raises(ValueError, match="of AdamW has 8 parameters, its parts have 16"):
        optimizer.load_state_dict([muon.state_dict(), muon.state_dict()])
    with pytest.raises(ValueError, match="has 3 parameters, the part"):
        optimizer.load_state_dict([torch.optim.SGD(nn.Linear(2, 2).weight.new_zeros(3, 1).split(1)).state_dict()] * 3)


def test_a_part_steps_as_its_class_does_alone():
    model, alone = gpt(torch.float64), gpt(torch.float64)
    chosen = {"matrix": partial(optim.Lion, lr=1e-3), "rest": partial(optim.Adan, lr=1e-2)}
    train(model, [optim.Hybrid(model, chosen)], 5)
    matrices, decayed, rest = parts(alone)
    train(alone, [optim.Lion(matrices, lr=1e-3), optim.Adan([*decayed, *rest], lr=1e-2)], 5)
    for a, b in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_rule_of_ones_own_is_a_part():
    from thalweg.rules.lion import lion

    own = thalweg.optimizer(lion, name="Own")
    model, other = gpt(torch.float64), gpt(torch.float64)
    for each, cls in ((model, own), (other, optim.Lion)):
        train(each, [optim.Hybrid(each, {"matrix": partial(cls, lr=1e-3), "rest": partial(optim.SGD, lr=0.1)})], 3)
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_killed_and_resumed_it_is_the_same_run_to_the_bit(tmp_path):
    straight, stopped = gpt(), gpt()
    train(straight, [ours(straight)], 12)
    optimizer = ours(stopped)
    train(stopped, [optimizer], 5)
    torch.save({"model": stopped.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pt")
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    model = Gpt()
    model.load_state_dict(saved["model"])
    resumed = optim.MuonAdamW(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells which settings the checkpoint changes
        resumed.load_state_dict(saved["optimizer"])
    assert resumed.param_groups[0]["lr"] == 0.02 and resumed.param_groups[1]["lr"] == 3e-3
    train(model, [resumed], 7)
    assert all(map(torch.equal, model.parameters(), straight.parameters()))


def test_copies_go_on_by_themselves():
    model = gpt()
    optimizer = ours(model)
    train(model, [optimizer], 2)
    both = copy.deepcopy({"model": model, "optimizer": optimizer})
    assert train(model, [optimizer], 3) == train(both["model"], [both["optimizer"]], 3)


@pytest.mark.apart
def test_one_guard_looks_at_all_gradients():
    model, other = gpt(torch.float64), gpt(torch.float64)
    optimizer = ours(model, clip_norm=0.1)
    plain = ours(other)
    for each, stepped in ((model, optimizer), (other, plain)):
        loss_of(each).backward()
        if stepped is plain:
            torch.nn.utils.clip_grad_norm_(other.parameters(), 0.1)
        stepped.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = ours(model, on_nonfinite="skip_step")
    next(iter(model.parameters())).grad.fill_(float("nan"))
    optimizer.step()
    assert all(map(torch.equal, model.parameters(), before))


def test_schedulers_keep_the_ratio_of_the_groups():
    model = gpt()
    optimizer = ours(model)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 10)
    train(model, [optimizer], 1)
    scheduler.step()
    muon, decayed, rest = (group["lr"] for group in optimizer.param_groups)
    assert muon == pytest.approx(0.02 * 0.91) and decayed == rest == pytest.approx(3e-3 * 0.91)


def test_convolutions_stacks_and_biases_in_one_model():
    torch.manual_seed(0)

    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.stack, self.gain = nn.Parameter(torch.randn(3, 8, 8) / 3), nn.Parameter(torch.ones(()))

        def forward(self, x):
            return self.gain * torch.einsum("bi,eio->bo", x, self.stack)

    layers = [nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 8), nn.LayerNorm(8), Experts(), nn.Linear(8, 2)]
    model = nn.Sequential(*layers)
    muon = partial(optim.Muon, lr=0.02)
    experts, rest = partial(muon, stack_dims=1), partial(optim.AdamW, lr=1e-2)
    optimizer = optim.Hybrid(model, {("matrix", "convolution"): muon, "experts": experts, "rest": rest})
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 1, 7]
    x, y = torch.randn(64, 1, 4, 4), torch.randint(0, 2, (64,))
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(nn.functional.cross_entropy(model(x), y))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.8 * losses[0].item()


def test_what_cannot_be_is_refused():
    model = gpt()
    adamw = partial(optim.AdamW, lr=1e-3)
    with pytest.raises(ValueError, match=r"no part takes tokens.weight \(embedding\), places.weight \(embedding\)"):
        optim.Hybrid(model, {("matrix", "norm", "bias"): adamw})
    with pytest.raises(ValueError, match="got the role 'matrices'"):
        optim.Hybrid(model, {"matrices": adamw, "rest": adamw})
    with pytest.raises(TypeError, match="must be a class of thalweg.optim"):
        optim.Hybrid(model, {"rest": torch.optim.AdamW})
    for made in ("muon", optim.AdamW(model.parameters())):
        with pytest.raises(TypeError, match=r"parts\['rest'\]: got .*; must be a class of thalweg.optim"):
            optim.Hybrid(model, {"rest": made})
    with pytest.raises(TypeError, match="model: got a dict in it"):
        optim.MuonAdamW(optim.groups(model))
    with pytest.raises(TypeError, match="Schedule-Free"):
        optim.Hybrid(model, {"rest": optim.ScheduleFreeAdamW})
    with pytest.raises(TypeError, match="the settings are lr, betas"):
        optim.Hybrid(model, {"rest": partial(optim.AdamW, learning_rate=1e-3)})
    with pytest.raises(ValueError, match="clip_norm is of all parts together"):
        optim.Hybrid(model, {"rest": partial(adamw, clip_norm=1.0)})
    with pytest.raises(ValueError, match="Invalid learning rate"):
        optim.Hybrid(model, {"rest": partial(optim.AdamW, lr=-1.0)})
    with pytest.raises(ValueError, match="Muon only supports 2D parameters"):
        optim.Hybrid(model, {"rest": optim.Muon})
    optimizer = optim.Hybrid(model, {"rest": adamw})
    late = nn.Parameter(torch.ones(3))
    with pytest.raises(ValueError, match="got None in a parameter group; must be one of rest"):
        optimizer.add_param_group({"params": [("late", late)]})
    with pytest.raises(ValueError, match="did you mean 'weight_decay'"):
        optimizer.add_param_group({"params": [("late", late)], "part": "rest", "weight_decays": 1.0})
    optimizer.add_param_group({"params": [("late", late)], "part": "rest", "lr": 0.5})
    assert optimizer.param_groups[-1]["lr"] == 0.5 and optimizer.param_groups[-1]["betas"] == (0.9, 0.999)


# -- several processes ------------------------------------------------------------------------------------------------


def work(rank: int, ranks: int, folder: str, run: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    model = gpt()
    if run == "ddp":
        wrapped = nn.parallel.DistributedDataParallel(model)
        optimizer = ours(model)
    else:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        wrapped = fully_shard(model, mesh=init_device_mesh("cpu", (ranks,)))
        optimizer = ours(model)
    train(wrapped, [optimizer], 8, TEXT[rank::ranks])
    full = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    if rank == 0:
        torch.save([p.detach() for p in full], f"{folder}/left.pt")
    distributed.barrier()
    os._exit(0)  # taking gloo's threads down can end a process by std::terminate


@pytest.mark.skipif(not (distributed.is_available() and distributed.is_gloo_available()), reason="no gloo")
@pytest.mark.parametrize(
    ("run", "ranks"),
    [("ddp", 2), ("ddp", 4), pytest.param("fsdp", 2, marks=needs_fsdp2), pytest.param("fsdp", 4, marks=needs_fsdp2)],
)
def test_several_processes_train_as_one(run, ranks, tmp_path):
    processes.start(work, (ranks, str(tmp_path), run), ranks)
    model, left = gpt(), gpt()
    train(model, [ours(model)], 8)
    with torch.no_grad():
        for p, value in zip(left.parameters(), torch.load(tmp_path / "left.pt"), strict=True):
            p.copy_(value)
    close(left, model, gpt())


def test_muon_adamw_keeps_small_states_of_both_rules():
    model = nn.Sequential(nn.Embedding(90, 64), nn.Linear(64, 64), nn.Linear(64, 90))
    optimizer = optim.MuonAdamW(model, state_dtype="bfloat16", rounding="nearest")
    model(torch.arange(8)).sum().backward()
    optimizer.step()
    matrix, embedding = optimizer.state[model[1].weight], optimizer.state[model[0].weight]
    assert matrix["momentum_buffer"].dtype == embedding["exp_avg"].dtype == torch.bfloat16
    assert {group["rounding"] for group in optimizer.param_groups} == {"nearest"}
    with pytest.raises(ValueError, match="state_dtype"):
        optim.MuonAdamW(model, state_dtype="int4")
