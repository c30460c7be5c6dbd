"""Lens in a Lightning Trainer: `Trainer(callbacks=[LensCallback()])`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from thalweg.lens.page import check_place
from thalweg.lens.watching import lens

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning import Callback  # type: ignore[assignment,unused-ignore]
    except ModuleNotFoundError as error:
        raise ImportError("thalweg.lens.lightning needs lightning: pip install lightning") from error

__all__ = ["LensCallback"]


class LensCallback(Callback):  # type: ignore[misc,unused-ignore]
    """Watch a `fit`, and print what is wrong when it ends. `callback.seen` is the `thalweg.lens` of the run.

    Args:
        report: where one HTML page is written at the end; None: nowhere.
        scalars: send `lens/<quantity>/<module>` to the Trainer's loggers at each watched step.
        settings: `live`, `quiet`, `language`, as `thalweg.lens` has them.

    Raises:
        ValueError: for a report that cannot be written there; when training starts, for a module with several
            optimizers.
    """

    def __init__(self, report: str | Path | None = None, *, scalars: bool = True, **settings: Any) -> None:
        super().__init__()
        if report is not None:
            check_place("report", report)
        self.page, self.scalars, self.settings = report, scalars, settings
        self.seen: lens | None = None

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        if len(trainer.optimizers) != 1:
            raise ValueError(f"optimizers: the module has {len(trainer.optimizers)}; lens watches a run with one")

        def log(numbers: dict[str, float], step: int) -> None:
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step)

        settings = {"log": log if self.scalars else None, **self.settings}
        if not trainer.is_global_zero:
            settings |= {"quiet": True, "live": False}
        self.seen = lens(trainer.optimizers[0], pl_module, **settings).__enter__()

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if self.seen is not None and loss is not None:
            self.seen.loss(loss)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        if self.seen is None:
            return
        self.seen.__exit__(None, None, None)
        if self.page is not None and trainer.is_global_zero:
            self.seen.report(self.page)

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        if self.seen is not None:
            self.seen.close()
