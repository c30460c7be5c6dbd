"""`torch.optim._muon` itself."""

from torch.optim._muon import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
