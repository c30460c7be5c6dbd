"""A LightningModule whose optimizer is ours: one line of `configure_optimizers`.

python examples/lightning_module.py    # about 15 seconds on a CPU; needs `pip install -e ".[frameworks]"`
"""

import argparse
import tempfile

import lightning
import torch
from torch.utils.data import DataLoader, TensorDataset

import thalweg.optim as optim


class Regression(lightning.LightningModule):
    """The sum of two products, learned by a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
        self.losses: list[float] = []

    def training_step(self, batch, _index):
        x, y = batch
        loss = torch.nn.functional.mse_loss(self.network(x), y)
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self):
        optimizer = optim.AdamW(self.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(epochs: int) -> tuple[float, float]:
    """The first loss, and the mean of the last ten."""
    lightning.seed_everything(0, verbose=False)
    x = torch.randn(1024, 4)
    data = DataLoader(TensorDataset(x, (x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3])[:, None]), batch_size=64, shuffle=True)
    module = Regression()
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", devices=1, default_root_dir=folder, logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, data)
    return module.losses[0], sum(module.losses[-10:]) / 10


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    first, last = train(parser.parse_args().epochs)
    print(f"first loss {first:.2f}, last {last:.2f}")
