"""`torch.optim._adafactor` itself."""

from torch.optim._adafactor import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
