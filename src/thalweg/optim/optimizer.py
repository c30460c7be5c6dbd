"""`torch.optim.optimizer` itself."""

from torch.optim.optimizer import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
