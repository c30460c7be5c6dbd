"""The live door: `with thalweg.lens(optimizer, model) as seen:` around a loop of one's own, by hooks."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thalweg.lens import pathologies
from thalweg.lens.accumulation import Accumulation
from thalweg.lens.finding import Finding, told
from thalweg.lens.output import Output, offset_and_spread, read
from thalweg.lens.preflight import preflight
from thalweg.lens.record import Record
from thalweg.lens.tensor_step import WatchedParameter

if TYPE_CHECKING:
    import pandas

EARLY, EVERY = 32, 16  # steps 1 to 32 are watched, then every 16th


class lens:
    """Watch a run, and tell what is wrong with it.

    The weights are the same bits as without it: everything is read, nothing is changed, and no random number is used.

    Args:
        optimizer: any torch.optim.Optimizer, Thalweg's included.
        model: the model that it trains.
        log: called with a mapping of scalars, `lens/<quantity>/<parameter>`, and the step, at each watched step:
            `wandb.log`, `lambda numbers, step: ...`. None: nothing is logged.
        quiet: print nothing when the run ends.
        language: of what is printed: "en" or "zh".

    Raises:
        ValueError: for a model that does not have the optimizer's parameters, and for sharded parameters.

    >>> model = nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with lens(optimizer, model, quiet=True) as seen:
    ...     for _ in range(3):
    ...         loss = model(torch.ones(4, 2)).square().mean()
    ...         loss.backward()
    ...         optimizer.step()
    ...         seen.loss(loss)
    >>> [finding.name for finding in seen.findings]
    ['zero_grad_forgotten']
    """

    preflight = staticmethod(preflight)

    def __init__(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        *,
        log: Callable[..., Any] | None = None,
        quiet: bool = False,
        language: str = "en",
    ) -> None:
        self.optimizer, self.model = optimizer, model
        self.log, self.quiet, self.language = log, quiet, language
        self.names = {id(p): name for name, p in model.named_parameters()}
        inside = [p for group in optimizer.param_groups for p in group["params"]]
        if not any(id(p) in self.names for p in inside):
            raise ValueError("model: has none of the optimizer's parameters; must be the model that it trains")
        if any(hasattr(p, "to_local") for p in inside):
            raise ValueError("optimizer: has sharded parameters (DTensor), which lens does not watch yet")
        self.watches = {id(p): WatchedParameter(p) for p in inside}
        self.accumulation = Accumulation(inside)
        self.record = Record(sizes={name: p.numel() for name, p in model.named_parameters()})
        self.handles: list[Any] = []
        self.output: Output | None = None
        self.total = 0.0

    def __enter__(self) -> lens:
        keys = ("lr", "betas", "eps", "weight_decay", "momentum")
        self.record.settings = [{key: g[key] for key in keys if key in g} for g in self.optimizer.param_groups]
        self.handles = [
            self.optimizer.register_step_pre_hook(self._before),
            self.optimizer.register_step_post_hook(self._after),
            self.model.register_forward_pre_hook(self._inputs),
            self.model.register_forward_hook(self._forward),
            *self.accumulation.hooks(),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if not self.quiet:
            print(self, file=sys.stderr)

    def close(self) -> None:
        """Take all hooks off; what was seen stays."""
        for handle in self.handles:
            handle.remove()
        self.handles.clear()

    def loss(self, value: Tensor | float) -> None:
        """Tell the loss of the step just taken: needed only where the model's output is not a classifier's."""
        self.record.losses[max(self.record.steps, 1)] = value.item() if isinstance(value, Tensor) else float(value)

    @property
    def findings(self) -> list[Finding]:
        """What is wrong so far, the cause before its symptoms; empty for a healthy run."""
        self._summarize()
        return pathologies.diagnose(self.record)

    def to_pandas(self) -> pandas.DataFrame:
        """A row a watched step and parameter."""
        import pandas

        return pandas.DataFrame(list(self.record.rows()))

    def report(self, path: str | Path) -> Path:
        """Write one HTML page, which asks the network for nothing; its path."""
        from thalweg.lens.page import page

        out = Path(path)
        if not out.parent.is_dir():
            raise ValueError(f"path: no folder {out.parent}")
        out.write_text(page(self.record, self.findings, self.language), encoding="utf-8")
        return out.resolve()

    def __str__(self) -> str:
        return f"lens, {self.record.steps} steps: {told(self.findings, self.language)}"

    @property
    def watched(self) -> bool:
        """Whether the next step is one that is watched."""
        return _watched(self.record.steps + 1)

    def _inputs(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        first = next((each for each in args if isinstance(each, Tensor)), None)
        if self.record.inputs is None and first is not None and first.is_floating_point() and first.numel() > 1:
            self.record.inputs = float(first.detach().float().mean()), float(first.detach().float().std())

    def _forward(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not torch.is_grad_enabled() or not model.training:
            return
        logits = _logits(output)
        if logits is None or not logits.requires_grad:
            return
        values = logits.detach()
        if self.watched or values.numel() <= 65_536:  # a large vocabulary's is read at watched steps alone
            logits.register_hook(lambda gradient: self._backward(values, gradient))  # type: ignore[no-untyped-call]

    def _backward(self, logits: Tensor, gradient: Tensor) -> None:
        self.output = read(logits, gradient)
        scores = offset_and_spread(logits) if self.watched else None
        if scores is not None:
            self.record.scores[self.record.steps + 1] = scores
        if self.output is not None:
            self.total += self.output.total

    def _before(self, optimizer: Optimizer, *rest: Any) -> None:
        record = self.record
        record.rates.append(float(optimizer.param_groups[0]["lr"]))
        step = record.steps + 1
        passes, added = self.accumulation.since_last_step()
        record.passes = max(record.passes, passes)
        record.added_to_old += added
        if self.output is not None:
            record.outputs[step] = self.output
            record.losses[step] = self.output.loss
            record.totals.append(self.total)
        self.output, self.total = None, 0.0
        if _watched(step - 1) or _watched(step):
            looks = [0.0, 0.0, 0.0]
            for group in optimizer.param_groups:
                for p in group["params"]:
                    watch = self.watches.get(id(p))
                    if watch is None:
                        continue
                    looks = [a + b for a, b in zip(looks, watch.look_back(), strict=True)]
                    if _watched(step):
                        watch.before(optimizer.state.get(p, {}), group)
            if looks[1] > 0 and looks[2] > 0:
                record.look_back[step] = looks[0] / (looks[1] * looks[2]) ** 0.5

    def _after(self, optimizer: Optimizer, *rest: Any) -> None:
        record = self.record
        record.steps += 1
        if not _watched(record.steps):
            return
        row = {}
        for group in optimizer.param_groups:
            for p in group["params"]:
                watch = self.watches.get(id(p))
                numbers = watch.after(optimizer.state.get(p, {}), group) if watch is not None else None
                if numbers is not None:
                    row[self.names.get(id(p), f"parameter {id(p)}")] = numbers
        record.tensors[record.steps] = row
        if self.log is not None:
            look = record.look_back.get(record.steps)
            self.log(scalars(row) | ({"lens/look_back": look} if look is not None else {}), step=record.steps)

    def _summarize(self) -> None:
        """What only the end tells: units without any gradient, and parameters that never moved."""
        record = self.record
        inside = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        record.dead, record.never = {}, {}
        for name, p in self.model.named_parameters():
            watch = self.watches.get(id(p))
            if id(p) not in inside:
                if p.requires_grad:
                    record.never[name] = "no_group"
            elif not p.requires_grad:
                record.never[name] = "frozen"
            elif watch is None or watch.moved is None:
                record.never[name] = "no_gradient"
            elif not watch.moved.any():
                record.never[name] = "zero_gradient"
            else:
                record.dead[name] = (int((~watch.moved).sum()), watch.moved.numel())


def scalars(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a watched step by the names that TensorBoard and W&B show."""
    quantities = ("update_ratio", "zeros", "lost", "out_of_date", "ruled_by_eps")
    numbers = {f"lens/{q}/{name}": float(getattr(each, q)) for name, each in row.items() for q in quantities}
    numbers |= {f"lens/gradient/{name}": each.gradient**0.5 for name, each in row.items()}
    return {key: value for key, value in numbers.items() if not math.isnan(value)}


def _watched(step: int) -> bool:
    return 1 <= step <= EARLY or (step > 0 and step % EVERY == 0)


def _logits(output: Any) -> Tensor | None:
    """The tensor of scores in what a model returns: itself, `.logits`, or the first of a tuple."""
    if isinstance(output, Tensor):
        return output
    inner = getattr(output, "logits", None)
    if inner is None and isinstance(output, tuple | list) and output:
        inner = output[0]
    return inner if isinstance(inner, Tensor) else None
