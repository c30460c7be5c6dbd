"""`torch.optim.adamw` with the AdamW of this package."""

from torch.optim.adamw import adamw as adamw

from thalweg.optim import AdamW as AdamW
from thalweg.optim._torchs import complete

complete(globals())
