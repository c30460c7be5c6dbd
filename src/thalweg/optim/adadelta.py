"""`torch.optim.adadelta` with the Adadelta of this package."""

from torch.optim.adadelta import adadelta as adadelta

from thalweg.optim import Adadelta as Adadelta
from thalweg.optim._torchs import complete

complete(globals())
