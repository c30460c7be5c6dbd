"""`torch.optim._multi_tensor` itself."""

from torch.optim._multi_tensor import *  # noqa: F403

from thalweg.optim._torchs import stand_in

stand_in(__name__)
