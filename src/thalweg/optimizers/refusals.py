"""What cannot be stepped, said before any state is made: in torch's words where torch refuses as well."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from thalweg.rule.definition import Rule
from thalweg.tensors.layout import is_shard, local
from thalweg.tensors.quantization import wide
from thalweg.tensors.subclasses import adds_by_itself, is_fake, ordinary
from thalweg.update.update import Group, Update

Tensor = torch.Tensor


def check(update: Update, p: Tensor, g: Tensor, group: Group) -> None:
    """What a rule cannot do with a gradient, or a parameter: RuntimeError or ValueError, in torch's words."""
    rule, sparse = update.rule, g.layout is not torch.strided
    if p.is_meta and group["fused"]:
        raise RuntimeError(f"`fused=True` requires all the params to hold numbers: {tuple(p.shape)} is on meta")
    if p.is_inference() and not torch.is_inference_mode_enabled():
        raise RuntimeError(
            f"Inplace update to inference tensor outside InferenceMode is not allowed: a parameter of shape "
            f"{tuple(p.shape)} was made under torch.inference_mode(); give the optimizer a clone of it"
        )
    if not ordinary(type(local(p))):
        _check_class(rule, local(p), sparse, group)
    if update.cautious and (is_shard(p) or (sparse and rule.sparse != "dense")):
        what = "a sharded parameter" if is_shard(p) else "a sparse gradient"
        raise RuntimeError(f"cautious=True counts over whole tensors, which {what} does not show; allowed is False")
    if sparse and not rule.sparse:
        raise RuntimeError(
            f"{rule.name} does not support sparse gradients; SparseAdam, Adagrad and SGD do, or use dense ones"
        )
    if sparse and rule.sparse != "dense" and group["weight_decay"] != 0:
        raise RuntimeError(
            f"weight_decay={group['weight_decay']}: the weight_decay option is not compatible with sparse "
            "gradients, which step only the rows they touch; allowed is 0"
        )
    if group["state_dtype"] != "float32":
        if sparse and rule.sparse != "dense":
            raise RuntimeError(
                f"state_dtype={group['state_dtype']!r} with a sparse gradient: a row shares its scale with others, "
                "which the step must not read; allowed is 'float32'"
            )
        reason = wide(p)
        if reason:
            raise ValueError(f"state_dtype={group['state_dtype']!r}: {reason}")
    if rule.sparse == "only" and not sparse:
        raise RuntimeError(f"{rule.name} does not support dense gradients, please consider Adam instead")
    if rule.matrices and group["differentiable"]:
        raise RuntimeError(
            f"{rule.name} writes its matrices in place, where autograd cannot follow: differentiable=True"
        )
    if rule.matrices and (p.is_complex() or (is_shard(p) and not rule.stacks)):
        what, name = "complex" if p.is_complex() else "sharded", rule.title.partition(":")[0]
        raise RuntimeError(f"{name} does not support {what} parameters: it works on whole real matrices")


def _check_class(rule: Rule, p: Tensor, sparse: bool, group: Group) -> None:
    """RuntimeError for what cannot be done through a class's own operations."""
    reason = None
    if group["differentiable"]:
        reason = "differentiable=True records steps in torch's operations"
    elif sparse and rule.sparse != "dense":
        reason = "a sparse gradient steps rows, by their place in memory"
    elif rule.per_tensor and is_fake(p):
        reason = f"{rule.name} measures numbers, of which it has none"
    elif adds_by_itself(p) and "p" in rule.initial.values():
        reason = f"{rule.name} keeps a copy of the parameter, and goes on straight lines between the two"
    if reason:
        raise RuntimeError(f"a parameter of class {type(p).__name__}, which has operations of its own: {reason}")


def check_not_capturing(params: Sequence[Tensor]) -> None:
    """Plans look at numbers and make tensors, which a CUDA graph could not repeat."""
    if any(p.is_cuda for p in params) and torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "a CUDA graph is capturing the first step, or the first since parameters, gradients, states or settings "
            "changed: take a step before the capture, as torch's documentation of CUDA graphs shows"
        )
