"""Written by tests/test_stub.py from the rules: what optim.py makes when it is imported."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor
from torch.optim import LBFGS as LBFGS
from torch.optim import Adafactor as Adafactor
from torch.optim import Muon as Muon
from torch.optim import lr_scheduler as lr_scheduler
from torch.optim import swa_utils as swa_utils
from torch.optim import swap_in_optimizer_params_and_state as swap_in_optimizer_params_and_state
from torch.optim.optimizer import ParamsT

from thalweg.face import Optimizer as Optimizer
from thalweg.release import release_gradients as release_gradients

def convert(state_dict: Mapping[str, Any], *, from_: str, to: str) -> dict[str, Any]: ...

class ADOPT(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-06,
        clip: bool = True,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class ASGD(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        lambd: float = 0.0001,
        alpha: float = 0.75,
        t0: float = 1000000.0,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        fused: bool | None = None,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class LAMB(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class LARS(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        eps: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class SGD(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class AdEMAMix(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float, float] = (0.9, 0.999, 0.9999),
        alpha: float = 5.0,
        t_warmup: float = 0.0,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = True,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class AdaBelief(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class Adadelta(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class Adagrad(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        bias_correction: bool = True,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class AdamW(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        bias_correction: bool = True,
        maximize: bool = False,
        decoupled_weight_decay: bool = True,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class Adamax(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class Adan(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class ClassicalMomentum(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class ClassicalNesterov(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class Lion(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.0001,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = True,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class NAdam(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class NAdamW(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        *,
        bias_correction: bool = True,
        maximize: bool = False,
        decoupled_weight_decay: bool = True,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class QHAdam(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.995, 0.999),
        nus: tuple[float, float] = (0.7, 1.0),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class RAdam(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        rectify_above: float = 5.0,
        maximize: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        fused: bool | None = None,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class Rprop(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-06, 50),
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class ScheduleFreeAdamW(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        warmup_steps: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class ScheduleFreeRAdam(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.0025,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        silent_sgd_phase: bool = True,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class ScheduleFreeSGD(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        warmup_steps: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...

class SparseAdam(Optimizer):
    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        maximize: bool = False,
        *,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        gradient_scale: float = 1.0,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        clip_norm: float | None = None,
        on_nonfinite: Literal["propagate", "skip_step", "raise"] = "propagate",
        engine: Literal["auto", "reference", "cpu", "cuda"] = "auto",
    ) -> None: ...
