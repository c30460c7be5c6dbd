"""Roles of Hugging Face's models with random weights, and MuonAdamW training one."""

import pytest
import torch

import thalweg.optim as optim
from thalweg.roles import roles

transformers = pytest.importorskip("transformers")


def bert():
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    return transformers.BertForMaskedLM(config)


def llama():
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def vit():
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=8, patch_size=4
    )
    return transformers.ViTForImageClassification(config)


def test_bert_ties_its_head_to_its_embeddings():
    found = {each.name: each.role for each in roles(bert())}
    assert {role for name, role in found.items() if "embeddings" in name and "LayerNorm" not in name} == {"embedding"}
    assert {role for name, role in found.items() if "LayerNorm" in name} == {"norm"}
    assert {role for name, role in found.items() if name.endswith("dense.weight")} == {"matrix"}
    assert {role for name, role in found.items() if "attention.self" in name and "weight" in name} == {"matrix"}


def test_llama_has_norms_of_its_own_class_and_a_head():
    found = {each.name: each.role for each in roles(llama())}
    assert found["model.embed_tokens.weight"] == "embedding" and found["lm_head.weight"] == "head"
    assert {role for name, role in found.items() if "norm" in name} == {"norm"}
    assert {role for name, role in found.items() if "proj" in name} == {"matrix"}


def test_a_vision_transformer_has_a_convolution_tokens_and_a_head():
    found = {each.name: each.role for each in roles(vit())}
    assert found["vit.embeddings.patch_embeddings.projection.weight"] == "convolution"
    assert found["vit.embeddings.cls_token"] == found["vit.embeddings.position_embeddings"] == "embedding"
    assert found["classifier.weight"] == "head"


def mixtral():
    config = transformers.MixtralConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        num_key_value_heads=1, num_local_experts=4,
    )  # fmt: skip
    return transformers.MixtralForCausalLM(config)


def test_a_mixture_of_experts_has_stacks_a_router_and_a_head_and_names_what_is_told_by_its_shape():
    table = roles(mixtral())
    found = {each.name: each.role for each in table}
    stacks = {name for name, role in found.items() if role == "experts"}
    assert stacks == {f"model.layers.0.mlp.experts.{name}_proj" for name in ("gate_up", "down")}
    assert found["model.layers.0.mlp.gate.weight"] == "matrix" and found["lm_head.weight"] == "head"
    assert {role for name, role in found.items() if "norm" in name} == {"norm"}
    assert table.unknown == ["MixtralExperts", "MixtralTopKRouter"]


def test_each_expert_s_matrix_is_orthogonalized_by_itself():
    model, alone = mixtral(), []
    optimizer = optim.MuonAdamW(model, lr=0.1, weight_decay=0.0)
    stack = model.model.layers[0].mlp.experts.down_proj
    stack.grad = torch.randn(stack.shape, generator=torch.Generator().manual_seed(0))
    for matrix, g in zip(stack.detach(), stack.grad, strict=True):
        alone.append(torch.nn.Parameter(matrix.clone()))
        alone[-1].grad = g.clone()
    optimizer.step()
    optim.Muon(alone, lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(stack.detach(), torch.stack([p.detach() for p in alone]), rtol=1e-5, atol=1e-5)


def test_llama_learns_by_muon_and_adamw():
    torch.manual_seed(0)
    model, text = llama(), torch.randint(0, 50, (4, 12), generator=torch.Generator().manual_seed(0))
    optimizer = optim.MuonAdamW(model, adamw_lr=3e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        losses.append(model(input_ids=text, labels=text).loss)
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.8 * losses[0].item()
