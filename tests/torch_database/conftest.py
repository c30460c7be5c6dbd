"""What the laws over torch's database stand on."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """The tensors are small: where tests run side by side, torch's threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def double():
    """torch keeps NAdam's product of momenta, and ASGD's eta and mu, in the default dtype, and its loader casts them to
    the parameter's: in float32 the rounding would be seen."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
