"""`torch.optim.adamax` with the Adamax of this package."""

from torch.optim.adamax import adamax as adamax

from thalweg.optim import Adamax as Adamax
from thalweg.optim._torchs import complete

complete(globals())
