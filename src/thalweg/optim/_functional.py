"""`torch.optim._functional` itself."""

from torch.optim._functional import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
