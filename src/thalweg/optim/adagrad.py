"""`torch.optim.adagrad` with the Adagrad of this package."""

from torch.optim.adagrad import adagrad as adagrad

from thalweg.optim import Adagrad as Adagrad
from thalweg.optim._torchs import complete

complete(globals())
