"""Hugging Face's Trainer with our AdamW, on a small GPT-2 of random weights; nothing is downloaded.

python examples/hugging_face.py    # about 20 seconds on a CPU; needs `pip install -e ".[frameworks]"`
"""

import argparse
import tempfile

import torch
import transformers

import thalweg.optim as optim

LENGTH, WORDS = 12, 24


def language_model() -> transformers.GPT2LMHeadModel:
    """For your own: AutoModelForCausalLM.from_pretrained(...)."""
    sizes = {"n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": LENGTH, "vocab_size": WORDS}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


def counting() -> list[dict[str, torch.Tensor]]:
    """Texts that count upwards from anywhere."""
    starts = torch.randint(WORDS, (512,), generator=torch.Generator().manual_seed(0))
    rows = [(start + torch.arange(LENGTH)) % WORDS for start in starts]
    return [{"input_ids": ids, "labels": ids} for ids in rows]


def train(steps: int) -> tuple[float, float]:
    """The loss before and after."""
    transformers.set_seed(0)
    model, data = language_model(), counting()
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=16, lr_scheduler_type="linear",
            warmup_steps=steps // 10, save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
            logging_strategy="no",
        )  # fmt: skip
        trainer = transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=data,
            eval_dataset=data[:64],
            optimizer_cls_and_kwargs=(optim.AdamW, {"lr": 1e-2, "weight_decay": 0.01}),
        )
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        return before, trainer.evaluate()["eval_loss"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    before, after = train(parser.parse_args().steps)
    print(f"loss before {before:.2f}, after {after:.2f}")
