"""`torch.optim.lr_scheduler` itself."""

from torch.optim.lr_scheduler import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
