"""`torch.optim.asgd` with the ASGD of this package."""

from torch.optim.asgd import asgd as asgd

from thalweg.optim import ASGD as ASGD
from thalweg.optim._torchs import complete

complete(globals())
