"""`torch.optim._muon` with the Muon of this package; torch has it from 2.9 on."""

from torch.optim._muon import muon as muon

from thalweg.optim import Muon as Muon
from thalweg.optim._torchs import complete

complete(globals())
