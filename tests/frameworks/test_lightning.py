"""Lightning's Trainer with our classes: the curves of torch's."""

import pytest
import torch

import thalweg.optim
from curves import CLASSES, agree, network, regression

lightning = pytest.importorskip("lightning")
from lightning.pytorch import callbacks  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*tensorboardX.*"),
]
EPOCHS, BATCHES = 3, 8


class Regression(lightning.LightningModule):
    """A user's module. All that differs between the runs is where the optimizer's class comes from."""

    def __init__(self, library, name: str = "AdamW", manual: bool = False) -> None:
        super().__init__()
        self.optimizer_class, self.name = getattr(library, name), name
        self.net, self.curve = network(), []
        self.automatic_optimization = not manual

    def training_step(self, batch, index):
        inputs, targets = batch
        loss = torch.nn.functional.mse_loss(self.net(inputs), targets)
        self.curve.append(loss.item())
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")
            optimizer.step()
            self.lr_schedulers().step()
        return loss

    def configure_optimizers(self):
        optimizer = self.optimizer_class(self.parameters(), **CLASSES[self.name])
        momentum = {"cycle_momentum": self.name in ("SGD", "AdamW")}
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=2 * CLASSES[self.name]["lr"], total_steps=EPOCHS * BATCHES + 1, **momentum
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def trainer(folder, **settings):
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    given = {"max_epochs": EPOCHS, "accelerator": "cpu", "devices": 1, "enable_checkpointing": False, **settings}
    return lightning.Trainer(default_root_dir=folder, **quiet, **given)


def batches():
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*regression(8 * BATCHES)), batch_size=8)


def fit(module, folder, checkpoint=None, **settings):
    """Train; the module, whose `curve` is then full."""
    trainer(folder, **settings).fit(module, batches(), ckpt_path=checkpoint, weights_only=False)
    return module


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_with_a_scheduler_by_step(name, tmp_path):
    """OneCycle sets lr and, where there is one, momentum or beta1 before every step."""
    agree(*(fit(Regression(library, name), tmp_path).curve for library in (thalweg.optim, torch.optim)))


@pytest.mark.parametrize(
    "name, settings",
    [
        ("SGD", {"gradient_clip_val": 0.5}),
        ("AdamW", {"gradient_clip_val": 0.02, "gradient_clip_algorithm": "value"}),
        ("RAdam", {"accumulate_grad_batches": 3}),
        ("Adam", {"precision": "64-true"}),
    ],
    ids=["clip_norm", "clip_value", "accumulate", "float64"],
)
def test_what_the_trainer_does_to_gradients(name, settings, tmp_path):
    dtype = torch.float64 if "precision" in settings else torch.float32
    ours, torchs = (
        fit(Regression(library, name).to(dtype), tmp_path, **settings).curve for library in (thalweg.optim, torch.optim)
    )
    assert ours != fit(Regression(thalweg.optim, name), tmp_path).curve, "the setting changed nothing"
    agree(ours, torchs, dtype)


def test_mixed_precision_in_bfloat16(tmp_path):
    """Passes in bfloat16, parameters and steps in float32. A parameter that differs in its last bit may round to
    another bfloat16 in the forward pass, so each run's own roundings part the losses, by about one of them a step."""
    ours, torchs = (
        fit(Regression(library, "AdamW"), tmp_path, precision="bf16-mixed") for library in (thalweg.optim, torch.optim)
    )
    assert all(p.dtype == torch.float32 for p in ours.parameters())
    for step, (a, b) in enumerate(zip(ours.curve, torchs.curve, strict=True)):
        assert abs(a - b) <= step * torch.finfo(torch.bfloat16).eps * abs(b), step
    assert ours.curve[-1] < 0.9 * ours.curve[0]


def test_manual_optimization(tmp_path):
    agree(*(fit(Regression(library, manual=True), tmp_path).curve for library in (thalweg.optim, torch.optim)))


@pytest.mark.parametrize("name", ["SGD", "RAdam"])
def test_a_run_resumes_from_lightnings_checkpoint(name, tmp_path):
    """Ours goes on from its own checkpoint to the bit; and from that of a run begun with torch's class, within
    rounding: the import may be swapped in the middle of a run."""
    ours, torchs = (fit(Regression(library, name), tmp_path) for library in (thalweg.optim, torch.optim))
    for first in (thalweg.optim, torch.optim):
        begun, short = Regression(first, name), trainer(tmp_path, max_epochs=1)
        short.fit(begun, batches())
        short.save_checkpoint(tmp_path / "middle.ckpt")
        resumed = fit(Regression(thalweg.optim, name), tmp_path, checkpoint=tmp_path / "middle.ckpt")
        assert len(resumed.curve) == (EPOCHS - 1) * BATCHES
        agree(begun.curve + resumed.curve, torchs.curve)
        if first is thalweg.optim:
            assert begun.curve + resumed.curve == ours.curve
            assert all(map(torch.equal, resumed.state_dict().values(), ours.state_dict().values()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: callbacks.StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1, annealing_epochs=1),
        lambda: callbacks.EMAWeightAveraging(decay=0.8),
    ],
    ids=["SWA", "EMA"],
)
def test_averaged_weights(make, tmp_path):
    """The average replaces the weights at the end, so it is looked at too. Equal steps leave equal averages."""
    ours, torchs = (
        fit(Regression(library, "SGD"), tmp_path, callbacks=[make()]) for library in (thalweg.optim, torch.optim)
    )
    agree(ours.curve, torchs.curve)
    plain = fit(Regression(thalweg.optim, "SGD"), tmp_path)
    steps = EPOCHS * BATCHES
    for name, value in ours.state_dict().items():
        expected = torchs.state_dict()[name]
        if value.is_floating_point():
            allowed = 100 * steps * torch.finfo(value.dtype).eps * expected.abs().max()
            assert (value - expected).abs().max() <= allowed, name
            assert not torch.equal(value, plain.state_dict()[name]), f"{name} was not averaged"
