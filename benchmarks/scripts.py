"""Three training scripts that users write: plain PyTorch, Lightning, Hugging Face's Trainer.

Each is a function of an optimizer's class and keeps what it saw in a `Watch`. All that differs between two runs of one
is that class: data, first weights, order and schedule are the same.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

Build = Callable[[Any], torch.optim.Optimizer]
LR = 1e-3
FIRST = 5  # steps that are not timed: kernels, caches and the allocator settle


@dataclass
class Watch:
    """Losses, and the times of whole steps and of the optimizer's part in them, in nanoseconds."""

    losses: list[float] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    own: list[int] = field(default_factory=list)

    def begin(self) -> None:
        """A training step begins where the one before it ends."""
        self.begun.append(time.perf_counter_ns())

    def attach(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Time the optimizer's `step`, less the closure in it: Lightning runs its passes there."""
        step = optimizer.step

        def timed(closure: Callable[[], Any] | None = None) -> Any:
            within = 0

            def timed_closure() -> Any:
                nonlocal within
                start = time.perf_counter_ns()
                try:
                    return closure() if closure else None
                finally:
                    within = time.perf_counter_ns() - start

            start = time.perf_counter_ns()
            result = step(timed_closure) if closure else step()
            self.own.append(time.perf_counter_ns() - start - within)
            return result

        optimizer.step = timed  # type: ignore[method-assign, assignment]
        return optimizer

    def medians(self) -> tuple[int, int]:
        """A whole step, and the optimizer's part."""
        return int(np.median(np.diff(self.begun)[FIRST:])), int(np.median(self.own[FIRST:]))


def rows(count: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around as many centers as there are classes."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (count,), generator=random)
    centres = torch.randn(classes, width, generator=random)
    return centres[labels] + 2 * torch.randn(count, width, generator=random), labels


def perceptron(width: int, depth: int, classes: int) -> nn.Module:
    """Linear layers with LayerNorm."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


WIDTH, CLASSES, BATCH = 128, 10, 32


def loader(steps: int) -> torch.utils.data.DataLoader[Any]:
    """One epoch of as many batches, in order."""
    data = torch.utils.data.TensorDataset(*rows(steps * BATCH, WIDTH, CLASSES))
    return torch.utils.data.DataLoader(data, batch_size=BATCH)


def plain(build: Build, steps: int) -> Watch:
    """PyTorch alone: a perceptron of 16 layers, gradient clipping, one cycle of the learning rate."""
    watch, model = Watch(), perceptron(WIDTH, 16, CLASSES)
    optimizer = build(model.parameters())
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=steps + 1)
    watch.attach(optimizer)
    batches = list(loader(steps))
    for inputs, labels in batches:
        watch.begin()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        watch.losses.append(loss.item())
    watch.begin()
    return watch


def lightning(build: Build, steps: int) -> Watch:
    """The same network under Lightning's Trainer."""
    import lightning as library

    watch = Watch()

    class Module(library.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = perceptron(WIDTH, 16, CLASSES)

        def on_train_start(self) -> None:
            watch.attach(self.optimizers().optimizer)

        def on_train_batch_start(self, batch: Any, index: int) -> None:
            watch.begin()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            inputs, labels = batch
            loss = nn.functional.cross_entropy(self.net(inputs), labels)
            watch.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = build(self.parameters())
            cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=steps + 1)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = dict.fromkeys(
        ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing", "barebones"), False
    )
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        trainer = library.Trainer(
            max_epochs=1, accelerator="cpu", devices=1, gradient_clip_val=1.0, default_root_dir=folder, **quiet
        )  # fmt: skip
        trainer.fit(Module(), loader(steps))
    return watch


def hugging_face(build: Build, steps: int) -> Watch:
    """A GPT-2 of 4 layers and 128 channels, of random weights, under Hugging Face's Trainer."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ[name] = "1"
    import transformers

    watch = Watch()

    class Watching(transformers.Trainer):
        def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
            watch.begin()
            return super().training_step(*args, **kwargs)

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            watch.losses.append(loss.item())
            return loss

    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=4, n_embd=128, n_head=4, n_positions=32, vocab_size=256, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    optimizer = build(model.parameters())
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=steps + 1)
    watch.attach(optimizer)
    starts = torch.randint(256, (steps * 8,), generator=torch.Generator().manual_seed(0))
    counted = [(start + torch.arange(32)) % 256 for start in starts]
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder, use_cpu=True, report_to=[], disable_tqdm=True, max_steps=steps, save_strategy="no",
            logging_strategy="no", per_device_train_batch_size=8, seed=0,
        )  # fmt: skip
        trainer = Watching(
            model=model, args=arguments, optimizers=(optimizer, cycle),
            train_dataset=[{"input_ids": ids, "labels": ids} for ids in counted],
        )  # fmt: skip
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    return watch


SCRIPTS: dict[str, tuple[Callable[[Build, int], Watch], tuple[str, ...]]] = {
    "plain": (plain, ()),
    "lightning": (lightning, ("lightning",)),
    "hugging_face": (hugging_face, ("transformers", "accelerate")),
}
