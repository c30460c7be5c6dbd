"""`torch.optim.swa_utils` itself."""

from torch.optim.swa_utils import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
