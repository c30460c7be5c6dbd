"""The drop-in namespace: `import thalweg.optim as optim` in place of `import torch.optim as optim`.

Constructors, defaults and checkpoints are torch's; each class's equations are in the file of its rule. What no rule
says (LBFGS, Adafactor) is torch's own, handed on: the same class, at torch's speed.
So is `Optimizer`: it is what every class here and there is an instance of, and what own classes are derived from.
Every module of `torch.optim` is here under its name: `thalweg.optim.lr_scheduler`, `thalweg.optim.adamw`, ...
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch.optim import Optimizer, lr_scheduler, swa_utils

from thalweg.optim.muon_adamw import MuonAdamW
from thalweg.optimizers import checkpoints
from thalweg.optimizers.factory import optimizer
from thalweg.optimizers.hybrid import Hybrid
from thalweg.optimizers.optimizer import Optimizer as Face
from thalweg.optimizers.release import release_gradients
from thalweg.optimizers.schedule_free import ScheduleFree
from thalweg.optimizers.second_order import SecondOrder
from thalweg.roles import groups, roles
from thalweg.rule.definition import Rule
from thalweg.rules.adabelief import adabelief
from thalweg.rules.adadelta import adadelta
from thalweg.rules.adagrad import adagrad
from thalweg.rules.adahessian import adahessian
from thalweg.rules.adam import adam
from thalweg.rules.adamax import adamax
from thalweg.rules.adamw import adamw, adamw_amsgrad
from thalweg.rules.adan import adan
from thalweg.rules.ademamix import ademamix
from thalweg.rules.adopt import adopt
from thalweg.rules.amsgrad import amsgrad
from thalweg.rules.asgd import asgd
from thalweg.rules.classical_momentum import classical_momentum
from thalweg.rules.classical_nesterov import classical_nesterov
from thalweg.rules.lamb import lamb
from thalweg.rules.lars import lars
from thalweg.rules.lion import lion
from thalweg.rules.momentum import momentum
from thalweg.rules.muon import muon
from thalweg.rules.nadam import nadam
from thalweg.rules.nadamw import nadamw
from thalweg.rules.nesterov import nesterov
from thalweg.rules.prodigy import prodigy
from thalweg.rules.qhadam import qhadam
from thalweg.rules.radam import radam
from thalweg.rules.rmsprop import rmsprop, rmsprop_centred, rmsprop_centred_momentum, rmsprop_momentum
from thalweg.rules.rprop import rprop
from thalweg.rules.schedule_free_adamw import schedule_free_adamw
from thalweg.rules.schedule_free_radam import schedule_free_radam
from thalweg.rules.schedule_free_sgd import schedule_free_sgd
from thalweg.rules.sgd import sgd
from thalweg.rules.shampoo import shampoo
from thalweg.rules.soap import soap
from thalweg.rules.sparse_adam import sparse_adam

# torch's own, as far as the installed torch has them.
TORCHS = ("Adafactor", "LBFGS", "swap_in_optimizer_params_and_state")
__all__ = [
    "ADOPT",
    "ASGD",
    "LAMB",
    "LARS",
    "SGD",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "AdaHessian",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "ClassicalMomentum",
    "ClassicalNesterov",
    "Hybrid",
    "Lion",
    "Muon",
    "MuonAdamW",
    "NAdam",
    "NAdamW",
    "Optimizer",
    "Prodigy",
    "QHAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeRAdam",
    "ScheduleFreeSGD",
    "Shampoo",
    "SparseAdam",
    "convert",
    "groups",
    "lr_scheduler",
    "release_gradients",
    "roles",
    "swa_utils",
]
globals().update({name: getattr(torch.optim, name) for name in TORCHS if hasattr(torch.optim, name)})
__all__ += [name for name in TORCHS if hasattr(torch.optim, name)]


def __getattr__(name: str) -> NoReturn:
    if name in TORCHS:
        raise AttributeError(f"thalweg.optim.{name} is torch's own, and torch {torch.__version__} does not have it")
    raise AttributeError(f"module 'thalweg.optim' has no attribute {name!r}")


def convert(state_dict: Mapping[str, Any], *, from_: str, to: str) -> dict[str, Any]:
    """A checkpoint of torch's as one of ours, or of ours as one of torch's: a copy; there and back changes nothing.

    The classes here load torch's checkpoints as they are, and torch's those of the same name here; this is for who
    wants a file that holds exactly what the other side writes. `from_` and `to` are 'torch' and 'thalweg', or the
    reverse.
    ValueError where torch has no such setting or state.

    >>> import torch
    >>> theirs = torch.optim.Adam([torch.zeros(2)]).state_dict()
    >>> ours = convert(theirs, from_="torch", to="thalweg")
    >>> ours["param_groups"][0]["bias_correction"], convert(ours, from_="thalweg", to="torch") == theirs
    (True, True)
    """
    classes = [each for each in globals().values() if isinstance(each, type) and issubclass(each, Face)]
    shared = [each for each in classes if each is not Face and hasattr(torch.optim, each.__name__)]
    return checkpoints.convert(state_dict, from_, to, shared)


# positional: torch's order of arguments
_NO_MOMENTUM = {"momentum": 0.0}
_ADAM = "lr betas eps weight_decay"
SGD = optimizer(
    sgd, momentum, nesterov, name="SGD", positional="lr momentum dampening weight_decay nesterov", defaults=_NO_MOMENTUM
)
ClassicalMomentum = optimizer(classical_momentum)
ClassicalNesterov = optimizer(classical_nesterov)
Adagrad = optimizer(adagrad, positional="lr lr_decay weight_decay initial_accumulator_value eps foreach")
Adadelta = optimizer(adadelta, positional="lr rho eps weight_decay foreach")
RMSprop = optimizer(
    rmsprop, rmsprop_momentum, rmsprop_centred, rmsprop_centred_momentum, name="RMSprop", defaults=_NO_MOMENTUM,
    positional="lr alpha eps weight_decay momentum centered capturable foreach maximize differentiable",
)  # fmt: skip
Adam = optimizer(adam, amsgrad, positional=f"{_ADAM} amsgrad")
AdamW = optimizer(adamw, adamw_amsgrad, name="AdamW", positional=f"{_ADAM} amsgrad")
Adamax = optimizer(adamax, positional=f"{_ADAM} foreach")
NAdam = optimizer(nadam, name="NAdam", positional=f"{_ADAM} momentum_decay decoupled_weight_decay")
RAdam = optimizer(radam, name="RAdam", positional=f"{_ADAM} decoupled_weight_decay")
Rprop = optimizer(rprop, positional="lr etas step_sizes")
ASGD = optimizer(
    asgd, name="ASGD", positional="lr lambd alpha t0 weight_decay foreach maximize differentiable capturable"
)
SparseAdam = optimizer(sparse_adam, name="SparseAdam", positional="lr betas eps maximize")
Muon = optimizer(muon, positional="lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn")
# Beyond torch: the arguments in the order of the authors' own classes.
Lion = optimizer(lion, positional="lr betas weight_decay")
AdaBelief = optimizer(adabelief, name="AdaBelief", positional=_ADAM)
Adan = optimizer(adan, positional=_ADAM)
ADOPT = optimizer(adopt, name="ADOPT", positional="lr betas eps clip weight_decay")
AdEMAMix = optimizer(ademamix, name="AdEMAMix", positional="lr betas alpha t_warmup eps weight_decay")
NAdamW = optimizer(nadamw, name="NAdamW", positional=_ADAM)
QHAdam = optimizer(qhadam, name="QHAdam", positional="lr betas nus eps weight_decay")
LAMB = optimizer(lamb, name="LAMB", positional=_ADAM)
LARS = optimizer(lars, name="LARS", positional="lr momentum weight_decay trust_coefficient eps")
AdaHessian = optimizer(
    adahessian, name="AdaHessian", base=SecondOrder,
    positional=f"{_ADAM} hessian_power update_each average_conv_kernel seed",
)  # fmt: skip
Prodigy = optimizer(prodigy, positional="lr betas eps weight_decay")
_AVERAGE = "r weight_lr_power"
ScheduleFreeSGD = optimizer(
    schedule_free_sgd, name="ScheduleFreeSGD", base=ScheduleFree,
    positional=f"lr momentum weight_decay warmup_steps {_AVERAGE}",
)  # fmt: skip
ScheduleFreeAdamW = optimizer(
    schedule_free_adamw, name="ScheduleFreeAdamW", base=ScheduleFree, positional=f"{_ADAM} warmup_steps {_AVERAGE}"
)
ScheduleFreeRAdam = optimizer(
    schedule_free_radam, name="ScheduleFreeRAdam", base=ScheduleFree, positional=f"{_ADAM} {_AVERAGE} silent_sgd_phase"
)
Shampoo = optimizer(shampoo, positional="lr eps weight_decay update_frequency")
SOAP = optimizer(soap, name="SOAP", positional=f"{_ADAM} precondition_frequency max_precondition_dim")

# Of these names torch.optim has modules, and so has this package: `from thalweg.optim import adamw` gives that.
for _name in ("optimizer", *(name for name, value in list(globals().items()) if isinstance(value, Rule))):
    del globals()[_name]
