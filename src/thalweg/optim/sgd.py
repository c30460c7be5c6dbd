"""`torch.optim.sgd` with the SGD of this package."""

from torch.optim.sgd import sgd as sgd

from thalweg.optim import SGD as SGD
from thalweg.optim._torchs import complete

complete(globals())
