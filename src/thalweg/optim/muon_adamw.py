"""Muon for matrices and AdamW for the rest: the usual pair of optimizers for transformers, as one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal

from torch import nn

from thalweg.optimizers.hybrid import REST, Hybrid


class MuonAdamW(Hybrid):
    """Muon for the matrices and convolutions of a model, AdamW for its embeddings, its head and the rest.

    Args:
        model: see `Hybrid`.
        lr: Muon's learning rate.
        momentum: Muon's.
        weight_decay: of matrices, convolutions, embeddings and head; norms, biases and single numbers have none.
        adamw_lr: AdamW's learning rate.
        betas, eps: AdamW's.
        adjust_lr_fn: how Muon's rate is adjusted to a matrix's shape: see `Muon`.
        clip_norm, on_nonfinite, engine: as in every class here.

    Source: Jordan et al. 2024 (which parameters are whose); Liu et al. 2025, arXiv:2502.16982.

    >>> from torch import nn
    >>> import thalweg.optim as optim
    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9))
    >>> [(group["part"], len(group["params"])) for group in optim.MuonAdamW(model).param_groups]
    [('matrix+convolution+experts', 1), ('embedding+head', 2), ('rest', 2)]
    """

    def __init__(
        self,
        model: nn.Module | Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        adamw_lr: float = 3e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        *,
        adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = None,
        clip_norm: float | None = None,
        on_nonfinite: str = "propagate",
        engine: str = "auto",
    ) -> None:
        from thalweg.optim import AdamW, Muon

        muon = partial(Muon, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn=adjust_lr_fn)
        adamw = partial(AdamW, lr=adamw_lr, betas=betas, eps=eps)
        super().__init__(
            model,
            {
                ("matrix", "convolution", "experts"): muon,
                ("embedding", "head"): partial(adamw, weight_decay=weight_decay),
                REST: partial(adamw, weight_decay=0.0),
            },
            clip_norm=clip_norm,
            on_nonfinite=on_nonfinite,
            engine=engine,
        )
