"""What parameters are for, told by modules and their use; and plain groups by it. Frameworks' models: frameworks/."""

import pytest
import torch
from torch import nn

import thalweg.optim as optim
from thalweg.roles import ROLES, groups, roles


def told(model, **settings):
    return {each.name: each.role for each in roles(model, **settings)}


class Attention(nn.Module):
    def __init__(self, width=8, letters=11, tied=True):
        super().__init__()
        self.embed, self.places = nn.Embedding(letters, width), nn.Parameter(torch.zeros(1, 5, width))
        layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.gain, self.scale = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(()))
        self.head = nn.Linear(width, letters, bias=False)
        if tied:
            self.head.weight = self.embed.weight


def test_a_transformer_with_tied_embeddings():
    found = told(Attention())
    assert found["embed.weight"] == "embedding" and "head.weight" not in found and found["places"] == "embedding"
    assert found["blocks.layers.0.self_attn.in_proj_weight"] == found["blocks.layers.1.linear2.weight"] == "matrix"
    assert found["blocks.layers.0.self_attn.in_proj_bias"] == found["blocks.layers.0.linear1.bias"] == "bias"
    assert found["blocks.layers.0.norm1.weight"] == found["blocks.layers.0.norm1.bias"] == "norm"
    assert (found["gain"], found["scale"]) == ("vector", "scalar")
    (tied,) = [each for each in roles(Attention()) if each.name == "embed.weight"]
    assert tied.why == "its module, tied to the head"
    apart = told(Attention(tied=False))
    assert apart["embed.weight"] == "embedding" and apart["head.weight"] == "head"


def test_a_residual_network():
    def block(width):
        return nn.Sequential(
            nn.Conv2d(width, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, bias=False)
        )

    model = nn.Sequential(
        nn.Conv2d(3, 8, 7), block(8), block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )
    found = told(model)
    assert found["0.weight"] == found["1.0.weight"] == found["2.3.weight"] == "convolution"
    assert found["1.1.weight"] == found["1.1.bias"] == "norm" and found["0.bias"] == "bias"
    assert found["5.weight"] == "head" and found["5.bias"] == "bias"


def test_a_recurrent_network():
    class Lstm(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.lstm, self.out = nn.Embedding(9, 4), nn.LSTM(4, 6, 2), nn.Linear(6, 9)

    found = told(Lstm())
    assert {found[f"lstm.weight_{kind}_l{layer}"] for kind in ("ih", "hh") for layer in (0, 1)} == {"matrix"}
    assert {found[f"lstm.bias_{kind}_l{layer}"] for kind in ("ih", "hh") for layer in (0, 1)} == {"bias"}
    assert found["out.weight"] == "head"


def test_a_mixture_of_experts():
    class Stacked(nn.Module):
        def __init__(self):
            super().__init__()
            self.router, self.up = nn.Linear(6, 4, bias=False), nn.Parameter(torch.randn(4, 6, 12))

    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([Stacked(), Stacked()])
            self.experts = nn.ModuleList([nn.Sequential(nn.Linear(6, 12), nn.Linear(12, 6)) for _ in range(3)])

    model = Mixture()
    found = told(model)
    assert found["layers.0.up"] == "experts" and found["layers.1.router.weight"] == "matrix"
    assert found["experts.2.1.weight"] == "matrix"  # the last linear layer is in a repeated block: no head
    assert roles(model).unknown == ["Stacked"] and [p.shape for p in roles(model).of("experts")] == [(4, 6, 12)] * 2


def test_a_row_for_each_expert_is_a_bias():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.up_bias = nn.Parameter(torch.ones(4, 32, 16)), nn.Parameter(torch.zeros(4, 32))
            self.other = nn.Parameter(torch.ones(5, 32))

    assert told(Experts()) == {"up": "experts", "up_bias": "bias", "other": "matrix"}


def test_the_head_may_be_named_and_the_table_is_printed():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    assert set(told(model).values()) == {"matrix", "bias"} and told(model, head=model[1])["1.weight"] == "head"
    lines = str(roles(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)))).splitlines()
    assert lines[0].split() == ["role", "parameter", "shape", "module", "told", "by"]
    assert lines[1].split() == ["matrix", "0.weight", "4", "x", "4", "Linear", "its", "module"] and len(lines) == 5
    with pytest.raises(TypeError, match="model: got a list"):
        roles([])


def test_groups_are_plain_ones_for_any_optimizer():
    model = Attention()
    made = groups(model, weight_decay=0.1, lr={"embedding": 1e-2, "rest": 1e-3})
    by_role = {group["role"]: group for group in made}
    assert {role: group["weight_decay"] for role, group in by_role.items()} == {
        "embedding": 0.0, "vector": 0.0, "scalar": 0.0, "matrix": 0.1, "bias": 0.0, "norm": 0.0,
    }  # fmt: skip
    assert by_role["embedding"]["lr"] == 1e-2 and by_role["matrix"]["lr"] == 1e-3
    assert sum(len(group["params"]) for group in made) == len(list(model.parameters()))
    for cls in (torch.optim.AdamW, optim.AdamW):
        optimizer = cls(made)
        assert [group["lr"] for group in optimizer.param_groups] == [group["lr"] for group in made]
    assert "lr" not in groups(model)[0] and "weight_decay" not in groups(model)[0]
    some = {group["role"]: group.get("weight_decay") for group in groups(model, no_decay=("norm",))}
    assert some["norm"] == 0.0 and some["matrix"] is None and some["bias"] is None
    model.gain.requires_grad_(False)
    assert "vector" not in {group["role"] for group in groups(model)}


def test_layers_have_rates_that_fall_from_the_top():
    made = groups(Attention(tied=False), lr=1.0, layer_decay=0.5)
    rates = {(group["role"], group["lr"]) for group in made}
    assert {("embedding", 0.125), ("matrix", 0.25), ("matrix", 0.5), ("head", 1.0)} <= rates
    with pytest.raises(ValueError, match="layer_decay: needs a rate for the role 'embedding'"):
        groups(Attention(), layer_decay=0.5)


@pytest.mark.parametrize(
    "settings",
    [
        {"no_decay": ("norms",)},
        {"lr": {"matrices": 1e-3}},
        {"layer_decay": 0.0, "lr": 1.0},
        {"layer_decay": 2.0, "lr": 1.0},
        {"lr": -1.0},
        {"lr": {"rest": float("nan")}},
        {"weight_decay": -1.0},
        {"head": nn.Linear(2, 1)},
    ],
    ids=str,
)
def test_what_is_wrong_is_named(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        groups(nn.Linear(2, 1), **settings)


def test_every_role_is_one():
    assert {each.role for model in (Attention(), nn.Conv1d(2, 2, 2)) for each in roles(model)} <= set(ROLES)
