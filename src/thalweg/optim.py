"""The drop-in namespace: `import thalweg.optim as optim` in place of `import torch.optim as optim`.

Constructors, defaults and checkpoints are torch's; each class's equations are in the file of its rule.
"""

from torch.optim import lr_scheduler, swa_utils

from thalweg.classes import optimizer
from thalweg.face import Optimizer
from thalweg.rules.adadelta import adadelta
from thalweg.rules.adagrad import adagrad
from thalweg.rules.adam import adam
from thalweg.rules.adamax import adamax
from thalweg.rules.adamw import adamw, adamw_amsgrad
from thalweg.rules.amsgrad import amsgrad
from thalweg.rules.classical_momentum import classical_momentum
from thalweg.rules.classical_nesterov import classical_nesterov
from thalweg.rules.momentum import momentum
from thalweg.rules.nadam import nadam
from thalweg.rules.nesterov import nesterov
from thalweg.rules.radam import radam
from thalweg.rules.rmsprop import rmsprop, rmsprop_centred, rmsprop_centred_momentum, rmsprop_momentum
from thalweg.rules.sgd import sgd

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ClassicalMomentum",
    "ClassicalNesterov",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
    "swa_utils",
]

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
