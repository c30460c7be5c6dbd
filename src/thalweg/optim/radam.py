"""`torch.optim.radam` with the RAdam of this package."""

from torch.optim.radam import radam as radam

from thalweg.optim import RAdam as RAdam
from thalweg.optim._torchs import complete

complete(globals())
