"""`torch.optim._stateless` itself."""

from torch.optim._stateless import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
