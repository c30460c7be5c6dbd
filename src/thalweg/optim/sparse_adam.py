"""`torch.optim.sparse_adam` with the SparseAdam of this package."""

from thalweg.optim import SparseAdam as SparseAdam
from thalweg.optim._torchs import complete

complete(globals())
