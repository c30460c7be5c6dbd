"""`torch.optim.lbfgs` itself."""

from torch.optim.lbfgs import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
