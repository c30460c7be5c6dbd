"""`torch.optim.nadam` with the NAdam of this package."""

from torch.optim.nadam import nadam as nadam

from thalweg.optim import NAdam as NAdam
from thalweg.optim._torchs import complete

complete(globals())
