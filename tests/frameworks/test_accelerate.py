"""Accelerate around our classes: prepared, accumulated, clipped, saved and loaded as torch's are."""

import pytest
import torch

import thalweg.optim
from curves import CLASSES, FEW, agree, network, regression

accelerate = pytest.importorskip("accelerate")

EPOCHS, BATCHES = 4, 8


@pytest.fixture(autouse=True)
def nothing_shared():
    """Accelerate keeps what it found out about the machine, and the number of processes, for the whole process."""
    yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


class Script:
    """The loop of a user of Accelerate."""

    def __init__(self, library, name: str, accumulate: int = 1, **settings) -> None:
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=accumulate, **settings)
        model = network()
        optimizer = getattr(library, name)(model.parameters(), **CLASSES[name])
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=10)
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*regression(8 * BATCHES)), batch_size=8)
        self.model, self.optimizer, self.scheduler, self.loader = self.accelerator.prepare(
            model, optimizer, scheduler, loader
        )
        self.curve: list[float] = []

    def train(self, epochs: int = EPOCHS) -> "Script":
        for _ in range(epochs):
            for inputs, targets in self.loader:
                with self.accelerator.accumulate(self.model):
                    loss = torch.nn.functional.mse_loss(self.model(inputs), targets)
                    self.accelerator.backward(loss)
                    if self.accelerator.sync_gradients:
                        self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
                    self.optimizer.step()
                    self.scheduler.step()
                    self.optimizer.zero_grad()
                self.curve.append(loss.item())
        return self


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("name", CLASSES)
def test_the_same_curve(name, accumulate):
    ours, torchs = (Script(library, name, accumulate).train() for library in (thalweg.optim, torch.optim))
    assert isinstance(ours.optimizer, accelerate.optimizer.AcceleratedOptimizer)
    assert type(ours.optimizer.optimizer) is getattr(thalweg.optim, name)
    agree(ours.curve, torchs.curve)


def test_mixed_precision_in_bfloat16():
    """As under Lightning: each run's own roundings part the losses, by about one of bfloat16 a step."""
    ours, torchs = (
        Script(library, "AdamW", mixed_precision="bf16").train().curve for library in (thalweg.optim, torch.optim)
    )
    for step, (a, b) in enumerate(zip(ours, torchs, strict=True)):
        assert abs(a - b) <= step * torch.finfo(torch.bfloat16).eps * abs(b), step
    assert ours[-1] < 0.9 * ours[0]


@pytest.mark.parametrize("name", FEW)
def test_a_saved_state_goes_on(name, tmp_path):
    """To the bit from our own; within rounding from one saved with torch's class."""
    torchs = Script(torch.optim, name).train()
    for first in (thalweg.optim, torch.optim):
        begun = Script(first, name)
        begun.train(1).accelerator.save_state(str(tmp_path / first.__name__))
        resumed = Script(thalweg.optim, name)
        resumed.accelerator.load_state(str(tmp_path / first.__name__))
        resumed.train(EPOCHS - 1)
        agree(begun.curve + resumed.curve, torchs.curve)
        if first is thalweg.optim:
            assert begun.curve + resumed.curve == Script(thalweg.optim, name).train().curve
