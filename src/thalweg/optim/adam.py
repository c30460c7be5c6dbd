"""`torch.optim.adam` with the Adam of this package."""

from torch.optim.adam import adam as adam

from thalweg.optim import Adam as Adam
from thalweg.optim._torchs import complete

complete(globals())
