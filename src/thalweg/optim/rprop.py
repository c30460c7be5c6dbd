"""`torch.optim.rprop` with the Rprop of this package."""

from torch.optim.rprop import rprop as rprop

from thalweg.optim import Rprop as Rprop
from thalweg.optim._torchs import complete

complete(globals())
