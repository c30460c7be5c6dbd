"""Lens in the Trainer of transformers: `Trainer(callbacks=[LensCallback()])`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thalweg.lens.page import check_place
from thalweg.lens.watching import lens

try:
    from transformers import TrainerCallback
except ModuleNotFoundError as error:
    raise ImportError("thalweg.lens.hugging_face needs transformers: pip install transformers") from error

__all__ = ["LensCallback"]


class LensCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]
    """Watch a `train()`, and print what is wrong when it ends. `callback.seen` is the `thalweg.lens` of the run.

    Args:
        report: where one HTML page is written at the end; None: nowhere.
        settings: `log`, `live`, `quiet`, `language`, as `thalweg.lens` has them.

    Raises:
        ValueError: for a report that cannot be written there.
    """

    def __init__(self, report: str | Path | None = None, **settings: Any) -> None:
        if report is not None:
            check_place("report", report)
        self.page, self.settings = report, settings
        self.seen: lens | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        optimizer = kwargs["optimizer"]
        while not hasattr(optimizer, "register_step_pre_hook") or hasattr(optimizer, "accelerator_state"):
            optimizer = optimizer.optimizer  # Accelerate's wrapper around the user's
        settings = dict(self.settings)
        if not state.is_world_process_zero:
            settings |= {"quiet": True, "live": False, "log": None}
        self.seen = lens(optimizer, kwargs["model"], **settings).__enter__()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.seen is None:
            return
        self.seen.__exit__(None, None, None)
        if self.page is not None and state.is_world_process_zero:
            self.seen.report(self.page)
