"""The drop-in namespace: `import thalweg.optim as optim` in place of `import torch.optim as optim`.

Constructors, defaults and checkpoints are torch's; each class's equations are in the file of its rule. What no rule
says (LBFGS) is torch's own, handed on: the same class, at torch's speed.
So is `Optimizer`: it is what every class here and there is an instance of, and what own classes are derived from.
Every module of `torch.optim` is here under its name: `thalweg.optim.lr_scheduler`, `thalweg.optim.adamw`, ...
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal, NoReturn

import torch
from torch.nn import Module
from torch.optim import Optimizer, lr_scheduler, swa_utils

from thalweg.optimizers import checkpoints
from thalweg.optimizers.factory import optimizer
from thalweg.optimizers.hybrid import REST, Hybrid
from thalweg.optimizers.optimizer import Optimizer as Face
from thalweg.optimizers.release import release_gradients
from thalweg.optimizers.schedule_free import ScheduleFree
from thalweg.optimizers.second_order import SecondOrder
from thalweg.roles import groups, roles
from thalweg.rules import rules

# torch's own, as far as the installed torch has them.
TORCHS = ("LBFGS", "swap_in_optimizer_params_and_state")
__all__ = [  # and, below, every class that is made here
    "Hybrid",
    "MuonAdamW",
    "Optimizer",
    "convert",
    "groups",
    "lr_scheduler",
    "release_gradients",
    "roles",
    "swa_utils",
]
globals().update({name: getattr(torch.optim, name) for name in TORCHS if hasattr(torch.optim, name)})


def __getattr__(name: str) -> NoReturn:
    if name in TORCHS:
        raise AttributeError(f"thalweg.optim.{name} is torch's own, and torch {torch.__version__} does not have it")
    raise AttributeError(f"module 'thalweg.optim' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What is offered to who types a dot: not what this file imports."""
    return __all__


def convert(state_dict: Mapping[str, Any], *, from_: str, to: str) -> dict[str, Any]:
    """A checkpoint of torch's as one of ours, or of ours as one of torch's: a copy; there and back changes nothing.

    The classes here load torch's checkpoints as they are, and torch's those of the same name here; this is for who
    wants a file that holds exactly what the other side writes.

    Args:
        state_dict: of either side.
        from_: whose it is: 'torch' or 'thalweg'.
        to: the other of the two.

    Raises:
        ValueError: for other names, and where torch has no such setting or state.

    >>> import torch
    >>> theirs = torch.optim.Adam([torch.zeros(2)]).state_dict()
    >>> ours = convert(theirs, from_="torch", to="thalweg")
    >>> ours["param_groups"][0]["bias_correction"], convert(ours, from_="thalweg", to="torch") == theirs
    (True, True)
    """
    classes = [each for each in globals().values() if isinstance(each, type) and issubclass(each, Face)]
    shared = [each for each in classes if each is not Face and hasattr(torch.optim, each.__name__)]
    return checkpoints.convert(state_dict, from_, to, shared)


# A line a class, simple before refined, which is the catalogue's order. Its first rule is the one without switches.
# positional: torch's order of arguments; beyond torch that of the authors' own classes.
_NO_MOMENTUM = {"momentum": 0.0}
_ADAM = "lr betas eps weight_decay"
_AVERAGE = "r weight_lr_power"
SGD = optimizer(
    *rules("sgd momentum nesterov"),
    name="SGD",
    positional="lr momentum dampening weight_decay nesterov",
    defaults=_NO_MOMENTUM,
)
ClassicalMomentum = optimizer(*rules("classical_momentum"))
ClassicalNesterov = optimizer(*rules("classical_nesterov"))
ASGD = optimizer(
    *rules("asgd"), name="ASGD", positional="lr lambd alpha t0 weight_decay foreach maximize differentiable capturable"
)
Rprop = optimizer(*rules("rprop"), positional="lr etas step_sizes")
Adagrad = optimizer(*rules("adagrad"), positional="lr lr_decay weight_decay initial_accumulator_value eps foreach")
Adadelta = optimizer(*rules("adadelta"), positional="lr rho eps weight_decay foreach")
RMSprop = optimizer(
    *rules("rmsprop rmsprop_momentum rmsprop_centred rmsprop_centred_momentum"),
    name="RMSprop",
    defaults=_NO_MOMENTUM,
    positional="lr alpha eps weight_decay momentum centered capturable foreach maximize differentiable",
)
Adam = optimizer(*rules("adam amsgrad"), positional=f"{_ADAM} amsgrad")
AdamW = optimizer(*rules("adamw adamw_amsgrad"), name="AdamW", positional=f"{_ADAM} amsgrad")
Adamax = optimizer(*rules("adamax"), positional=f"{_ADAM} foreach")
NAdam = optimizer(*rules("nadam"), name="NAdam", positional=f"{_ADAM} momentum_decay decoupled_weight_decay")
NAdamW = optimizer(*rules("nadamw"), name="NAdamW", positional=_ADAM)
RAdam = optimizer(*rules("radam"), name="RAdam", positional=f"{_ADAM} decoupled_weight_decay")
QHAdam = optimizer(*rules("qhadam"), name="QHAdam", positional="lr betas nus eps weight_decay")
AdaBelief = optimizer(*rules("adabelief"), name="AdaBelief", positional=_ADAM)
Adan = optimizer(*rules("adan"), positional=_ADAM)
ADOPT = optimizer(*rules("adopt"), name="ADOPT", positional="lr betas eps clip weight_decay")
AdEMAMix = optimizer(*rules("ademamix"), name="AdEMAMix", positional="lr betas alpha t_warmup eps weight_decay")
SparseAdam = optimizer(*rules("sparse_adam"), name="SparseAdam", positional="lr betas eps maximize")
Lion = optimizer(*rules("lion"), positional="lr betas weight_decay")
ScheduleFreeSGD = optimizer(
    *rules("schedule_free_sgd"),
    name="ScheduleFreeSGD",
    base=ScheduleFree,
    positional=f"lr momentum weight_decay warmup_steps {_AVERAGE}",
)
ScheduleFreeAdamW = optimizer(
    *rules("schedule_free_adamw"),
    name="ScheduleFreeAdamW",
    base=ScheduleFree,
    positional=f"{_ADAM} warmup_steps {_AVERAGE}",
)
ScheduleFreeRAdam = optimizer(
    *rules("schedule_free_radam"),
    name="ScheduleFreeRAdam",
    base=ScheduleFree,
    positional=f"{_ADAM} {_AVERAGE} silent_sgd_phase",
)
LARS = optimizer(*rules("lars"), name="LARS", positional="lr momentum weight_decay trust_coefficient eps")
LAMB = optimizer(*rules("lamb"), name="LAMB", positional=_ADAM)
Prodigy = optimizer(*rules("prodigy"), positional="lr betas eps weight_decay")
AdaHessian = optimizer(
    *rules("adahessian"),
    name="AdaHessian",
    base=SecondOrder,
    positional=f"{_ADAM} hessian_power update_each average_conv_kernel seed",
)
Adafactor = optimizer(
    *rules("adafactor adafactor_momentum"),
    name="Adafactor",
    defaults={"beta1": 0.0},
    positional="lr beta2_decay eps d weight_decay",
)
Muon = optimizer(
    *rules("muon"), positional="lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn"
)
Shampoo = optimizer(*rules("shampoo"), positional="lr eps weight_decay update_frequency")
SOAP = optimizer(*rules("soap"), name="SOAP", positional=f"{_ADAM} precondition_frequency max_precondition_dim")


class MuonAdamW(Hybrid):
    """Muon for the matrices and convolutions of a model, and each expert's matrices; AdamW for all else.

    Args:
        model: see `Hybrid`.
        lr: Muon's learning rate.
        momentum: Muon's.
        weight_decay: of matrices, convolutions, embeddings and head; norms, biases and single numbers have none.
        adamw_lr: AdamW's learning rate.
        betas, eps: AdamW's.
        adjust_lr_fn: how Muon's rate is adjusted to a matrix's shape: see `Muon`.
        rounding, state_dtype: as in every class here, of both rules.
        clip_norm, on_nonfinite, engine: as in every class here.

    Source: Jordan et al. 2024 (which parameters are whose); Liu et al. 2025, arXiv:2502.16982.

    >>> from torch import nn
    >>> import thalweg.optim as optim
    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 9))
    >>> [(group["part"], len(group["params"])) for group in optim.MuonAdamW(model).param_groups]
    [('matrix+convolution', 1), ('embedding+head', 2), ('rest', 2)]
    """

    rates_of: ClassVar = {"lr": Muon, "adamw_lr": AdamW}  # by the name of each learning rate, whose it is

    def __init__(
        self,
        model: Module | Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        adamw_lr: float = 3e-4,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        *,
        adjust_lr_fn: Literal[None, "original", "match_rms_adamw"] = None,
        rounding: Literal["stochastic", "kahan", "master", "nearest"] = "stochastic",
        state_dtype: Literal["float32", "bfloat16", "int8"] = "float32",
        clip_norm: float | None = None,
        on_nonfinite: str = "propagate",
        engine: str = "auto",
    ) -> None:
        kept: dict[str, Any] = {"rounding": rounding, "state_dtype": state_dtype}
        muon = partial(Muon, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn=adjust_lr_fn, **kept)
        adamw = partial(AdamW, lr=adamw_lr, betas=betas, eps=eps, **kept)
        super().__init__(
            model,
            {
                ("matrix", "convolution"): muon,
                "experts": partial(muon, stack_dims=1),
                ("embedding", "head"): partial(adamw, weight_decay=weight_decay),
                REST: partial(adamw, weight_decay=0.0),
            },
            clip_norm=clip_norm,
            on_nonfinite=on_nonfinite,
            engine=engine,
        )


del globals()["optimizer"]  # torch.optim has a module of this name, and so has this package
_made = [name for name, value in globals().items() if isinstance(value, type) and value.__module__ == __name__]
__all__ += [name for name in (*_made, *TORCHS) if name in globals() and name not in __all__]
__all__.sort(key=lambda name: (not name.isupper(), name))
