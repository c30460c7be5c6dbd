"""`torch.optim._adafactor` with the Adafactor of this package."""

from torch.optim._adafactor import adafactor as adafactor

from thalweg.optim import Adafactor as Adafactor
from thalweg.optim._torchs import complete

complete(globals())
