"""Lens as a callback of Hugging Face's Trainer."""

import pytest
import torch

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from frameworks.test_transformers import language_model, rows  # noqa: E402
from thalweg.lens.hugging_face import LensCallback  # noqa: E402


def train(folder, callbacks, passes=1):
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), use_cpu=True, report_to=[], disable_tqdm=True, max_steps=20, learning_rate=1e-2,
        per_device_train_batch_size=8, gradient_accumulation_steps=passes, save_strategy="no", seed=0,
    )  # fmt: skip
    trainer = transformers.Trainer(model=language_model(), args=arguments, train_dataset=rows(), callbacks=callbacks)
    trainer.train()
    return trainer.model


def test_a_sound_run(tmp_path, capsys):
    logged = []
    watched = LensCallback(tmp_path / "lens.html", log=lambda numbers, step: logged.append(step))
    seen, plain = train(tmp_path, [watched]), train(tmp_path, [])
    assert all(map(torch.equal, seen.parameters(), plain.parameters()))
    assert watched.seen.record.steps == 20 and logged == list(range(1, 21))
    assert len(watched.seen.record.losses) == 20  # read from the logits
    assert watched.seen.findings == [] and "lens, 20 steps: Nothing wrong" in capsys.readouterr().err
    assert (tmp_path / "lens.html").is_file()


def test_accumulated_passes_are_counted_and_divided(tmp_path):
    watched = LensCallback(quiet=True)
    train(tmp_path, [watched], passes=2)
    assert watched.seen.record.passes == 2 and watched.seen.findings == []


def test_a_report_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"report: .* is a folder"):
        LensCallback(tmp_path)
