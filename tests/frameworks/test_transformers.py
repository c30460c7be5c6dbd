"""Hugging Face's Trainer with our classes, on a small GPT-2 of random weights: the curves of torch's."""

import pytest
import torch

import thalweg.optim
from curves import FEW, agree

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

STEPS, MIDDLE = 16, 6
SETTINGS = {"SGD": {"lr": 0.1, "momentum": 0.9}, "AdamW": {"lr": 0.01, "weight_decay": 0.1}, "RAdam": {"lr": 0.4}}


class Recording(transformers.Trainer):
    """A Trainer that keeps every loss as it is: its own log rounds them."""

    def compute_loss(self, model, inputs, *args, **kwargs):
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        self.curve = [*getattr(self, "curve", []), (loss[0] if isinstance(loss, tuple) else loss).item()]
        return loss


def language_model() -> torch.nn.Module:
    """Made from its configuration, dropout and all; nothing is downloaded."""
    torch.manual_seed(0)
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 12, "vocab_size": 24}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def rows() -> list[dict[str, torch.Tensor]]:
    """Counting upwards from anywhere."""
    starts = torch.randint(24, (96,), generator=torch.Generator().manual_seed(0))
    counted = [(start + torch.arange(12)) % 24 for start in starts]
    return [{"input_ids": ids, "labels": ids} for ids in counted]


def train(folder, save: bool = False, resume: str | None = None, optimizers=None, **more):
    """The trainer after its run. `optimizers` makes (optimizer, scheduler) for a model."""
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to=[], disable_tqdm=True, max_steps=STEPS, save_steps=MIDDLE,
        per_device_train_batch_size=8, gradient_accumulation_steps=1, lr_scheduler_type="linear", warmup_steps=4,
        save_strategy="steps" if save else "no", seed=0,
    )  # fmt: skip
    model = language_model()
    given = {"optimizers": optimizers(model)} if optimizers else {}
    trainer = Recording(model=model, args=arguments, train_dataset=rows(), **given, **more)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def by_class(library, name):
    """As a user hands over a class: Trainer makes the groups with and without decay, and the scheduler."""
    return {"optimizer_cls_and_kwargs": (getattr(library, name), SETTINGS[name])}


@pytest.mark.parametrize("name", FEW)
def test_a_class_handed_to_the_trainer(name, tmp_path):
    """With linear warm-up and the Trainer's own clipping. Resumed from its checkpoint, ours is the same to the bit."""
    ours, torchs = (
        train(tmp_path / library.__name__, save=True, **by_class(library, name))
        for library in (thalweg.optim, torch.optim)
    )
    assert type(ours.optimizer.optimizer) is getattr(thalweg.optim, name)
    agree(ours.curve, torchs.curve)
    checkpoint = f"{tmp_path}/thalweg.optim/checkpoint-{MIDDLE}"
    resumed = train(tmp_path / "resumed", resume=checkpoint, **by_class(thalweg.optim, name))
    assert resumed.curve == ours.curve[MIDDLE:]
    for resumed_value, value in zip(resumed.model.parameters(), ours.model.parameters(), strict=True):
        assert torch.equal(resumed_value, value)


def test_a_run_begun_with_torchs_class_goes_on_with_ours(tmp_path):
    torchs = train(tmp_path / "torch", save=True, **by_class(torch.optim, "AdamW"))
    checkpoint = f"{tmp_path}/torch/checkpoint-{MIDDLE}"
    resumed = train(tmp_path / "ours", resume=checkpoint, **by_class(thalweg.optim, "AdamW"))
    assert type(resumed.optimizer.optimizer) is thalweg.optim.AdamW
    agree(torchs.curve[:MIDDLE] + resumed.curve, torchs.curve)


@pytest.mark.parametrize("name", FEW)
def test_an_optimizer_and_a_scheduler_handed_to_the_trainer(name, tmp_path):
    """One cycle: lr and momentum, or beta1, change before every step."""

    def pair(library):
        def make(model):
            optimizer = getattr(library, name)(model.parameters(), **SETTINGS[name])
            cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=SETTINGS[name]["lr"], total_steps=STEPS + 1)
            return optimizer, cycle

        return make

    agree(*(train(tmp_path, optimizers=pair(library)).curve for library in (thalweg.optim, torch.optim)))
