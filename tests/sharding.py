"""What this torch can shard on a CPU."""

import pytest
import torch

# The FSDP2 of torch 2.6 asks the stream for an event, which its stream of a CPU lacks: an AttributeError in backward.
needs_fsdp2 = pytest.mark.skipif(
    not hasattr(torch.cpu.Stream, "record_event"), reason="this torch's FSDP2 needs an accelerator"
)
