"""Lens as a callback of Lightning's Trainer: it sees every step, changes none, and names what is wrong."""

import pytest
import torch

lightning = pytest.importorskip("lightning")
from thalweg.lens.lightning import LensCallback  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*tensorboardX.*"),
]


class Classifier(lightning.LightningModule):
    def __init__(self, outside: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
        self.outside = outside

    def forward(self, inputs):
        return self.net(inputs)

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        inside = self.net[2] if self.outside else self
        return torch.optim.Adam(inside.parameters(), lr=1e-2)


def batches():
    draw = torch.Generator().manual_seed(1)
    inputs = torch.randn(320, 8, generator=draw)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, inputs[:, :4].argmax(1)), batch_size=16)


def fit(folder, module, *callbacks):
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = lightning.Trainer(
        default_root_dir=folder, max_epochs=2, accelerator="cpu", devices=1, callbacks=list(callbacks), **off
    )
    trainer.fit(module, batches())
    return module


def test_a_sound_run(tmp_path, capfd):
    watched = LensCallback(tmp_path / "lens.html")
    seen, plain = fit(tmp_path, Classifier(), watched), fit(tmp_path, Classifier())
    assert all(map(torch.equal, seen.parameters(), plain.parameters()))
    assert watched.seen.record.steps == 40 and len(watched.seen.record.losses) == 40
    assert watched.seen.findings == [] and "lens, 40 steps: Nothing wrong was found." in capfd.readouterr().err
    assert "<html" in (tmp_path / "lens.html").read_text()


def test_what_is_wrong_is_named(tmp_path):
    watched = LensCallback(quiet=True)
    fit(tmp_path, Classifier(outside=True), watched)
    finding = watched.seen.findings[0]
    assert finding.name == "layer_never_moves" and finding.where == ("net.0.weight", "net.0.bias")


def test_a_report_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"report: .* is a folder"):
        LensCallback(tmp_path)
