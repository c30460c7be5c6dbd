"""`torch.optim.rmsprop` with the RMSprop of this package."""

from torch.optim.rmsprop import rmsprop as rmsprop

from thalweg.optim import RMSprop as RMSprop
from thalweg.optim._torchs import complete

complete(globals())
