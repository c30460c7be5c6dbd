"""The live door: `with thalweg.lens(optimizer, model) as seen:` around a loop of one's own, by hooks."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from thalweg.lens import pathologies
from thalweg.lens.accumulation import Accumulation
from thalweg.lens.finding import Finding, told
from thalweg.lens.given import NORMS, check, first_layer, has_stepped, number, settings
from thalweg.lens.hook import Hook
from thalweg.lens.live import Live
from thalweg.lens.log import logger, scalars
from thalweg.lens.moved import Moved
from thalweg.lens.not_finite import Lookout
from thalweg.lens.output import Output, logits_of, of_logits, offset_and_spread, read
from thalweg.lens.preflight import preflight
from thalweg.lens.probe import Probe
from thalweg.lens.record import Record
from thalweg.lens.still_rows import StillRows
from thalweg.lens.tensor_step import StepReader
from thalweg.lens.when import are_rows_read, is_heard, is_watched
from thalweg.lens.words import texts
from thalweg.roles import roles

if TYPE_CHECKING:
    import pandas

    from thalweg.lens.tried import Loss, Tried

SMALL_OUTPUT = 65_536  # numbers: a large vocabulary's are read at watched steps alone
BY_ROWS = ("embedding", "experts")  # a batch reads some rows of these


class lens:
    """Watch a run, and tell what is wrong with it.

    The weights are the same bits as without it: everything is read, nothing is changed, and no random number is used.

    Args:
        optimizer: any torch.optim.Optimizer, Thalweg's included.
        model: the model that it trains.
        log: where scalars named `lens/<quantity>/<module>` go at each watched step: a SummaryWriter, a W&B run, or
            any `function(mapping, step)`. None: nowhere.
        live: show a line in the terminal while the run goes on.
        snapshot: keep a copy of model and optimizer as they are at the start, for `tried` to start from.
        quiet: print nothing when the run ends.
        language: of what is printed: "en" or "zh".

    Raises:
        ValueError: for what is no optimizer or no model, a model that does not have the optimizer's parameters, a log
            that is none of these, a language there is not.

    >>> _ = torch.manual_seed(0)
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
        log: Any = None,
        live: bool = False,
        snapshot: bool = False,
        quiet: bool = False,
        language: str = "en",
    ) -> None:
        texts(language)
        check(optimizer, model)
        self.optimizer, self.model = optimizer, model
        self.snapshot, self.quiet, self.language = snapshot, quiet, language
        self.log = logger(log)
        self.live = Live(sys.stderr) if live else None
        inside = [p for group in optimizer.param_groups for p in group["params"]]
        names = {id(p): name for name, p in model.named_parameters()}
        if not any(id(p) in names for p in inside):
            raise ValueError("model: has none of the optimizer's parameters; must be the model that it trains")
        self.names = [names.get(id(p), f"parameter {place}") for place, p in enumerate(inside)]
        self.reader, self.probe = StepReader(inside, self.names), Probe(inside)
        self.rows = StillRows(dict(zip(self.names, inside, strict=True)))
        self.accumulation = Accumulation(inside, self._anew)
        by_name = {each.name: each.role for each in roles(model)}
        self.lookout = Lookout(inside, self.names, {name for name, role in by_name.items() if role in BY_ROWS})
        self.record = Record(
            sizes={name: p.numel() for name, p in model.named_parameters()},
            roles=by_name,
            inside=set(self.names),
            dtypes=", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in inside})),
        )
        self.moved: Moved | None = None
        self.handles: list[Any] = []
        self.listening: list[Any] = []
        self.output: Output | None = None
        self.total = 0.0
        self.skipped = self.entered = False
        self.start: tuple[nn.Module, Optimizer] | None = None
        self.trials: dict[str, Tried | None] = {}  # what the advice of findings did
        self.bad_loss: int | None = None  # the step of a loss that was told and is not finite

    def __enter__(self) -> lens:
        place = {id(p): name for name, p in zip(self.names, self.reader.params, strict=True)}
        self.record.settings = settings(self.optimizer.param_groups, place)
        self.record.resumed = any(map(has_stepped, self.optimizer.state.values()))
        self.moved = Moved(self.model)
        self.start = copy.deepcopy((self.model, self.optimizer)) if self.snapshot else None
        self._hook()
        self.entered = True
        return self

    def _adopt(self) -> None:
        """Parameters that a group has brought since the start are watched from now on."""
        groups, known = self.optimizer.param_groups, self.reader.index
        new = [p for group in groups for p in group["params"] if id(p) not in known]
        if not new:
            return
        names = {id(p): name for name, p in self.model.named_parameters()}
        added = [names.get(id(p), f"parameter {len(known) + place}") for place, p in enumerate(new)]
        self.names += added
        self.reader = StepReader([*self.reader.params, *new], self.names)
        self.rows.add(dict(zip(added, new, strict=True)))
        self.lookout.add(new, added)
        self.record.inside.update(added)
        own = {id(p): name for p, name in zip(new, added, strict=True)}
        self.record.settings += settings([g for g in groups if all(id(p) in own for p in g["params"])], own)

    def _hook(self) -> None:
        self.lookout.listen()
        self.handles = [
            self.optimizer.register_step_pre_hook(self._before),
            self.optimizer.register_step_post_hook(self._after),
        ]
        self._listen(is_heard(self.record.steps + 1))

    def _listen(self, on: bool) -> None:
        """Hooks of the passes, for steps whose output is read; they cost the others nothing."""
        if on and not self.listening:
            self.listening = [self.model.register_forward_hook(Hook(self._forward))]
            if self.record.inputs is None:
                self.listening.append(first_layer(self.model).register_forward_pre_hook(Hook(self._inputs)))
        elif not on:
            for handle in self.listening:
                handle.remove()
            self.listening = []
        self.accumulation.hook(on)

    def _unhook(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles.clear()
        self.lookout.close()
        self._listen(False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if not self.quiet:
            print(self, file=sys.stderr)

    def close(self) -> None:
        """Take all hooks off; what was seen stays."""
        self._unhook()
        self.entered = False
        if self.live is not None:
            self.live.end()

    def loss(self, value: Tensor | float) -> None:
        """Tell the loss of the step just taken: needed only where the model's output is not a classifier's.

        Raises:
            ValueError: for what is not one number.
        """
        step, told = max(self.record.steps, 1), number(value)
        if math.isfinite(told):
            self.record.losses[step] = told
        elif self.bad_loss is None:
            self.bad_loss = step

    @property
    def findings(self) -> list[Finding]:
        """What is wrong so far, the cause before its symptoms; empty for a healthy run."""
        self._summarize()
        return [replace(each, tried=self.trials.get(each.name)) for each in pathologies.diagnose(self.record)]

    def tried(self, loss: Loss, batches: Sequence[Any], *, steps: int = 100, repeats: int = 5) -> list[Finding]:
        """The findings, with what their advice does where it changes the optimizer: tried in short runs.

        They start from the run's snapshot where one was kept (`snapshot=True`), else from where the run is now.

        Args:
            loss: `loss(model, batch)` gives a batch's mean loss.
            batches: at least 4; a quarter is held back, and the loss on it is what counts.
            steps: of each short run.
            repeats: short runs with each change, in other orders of the batches: 3 to 8.

        Raises:
            ValueError: naming the argument, its value and what is allowed.
        """
        from thalweg.lens.tried import tried

        self._unhook()
        try:
            from_now = self.start is None or any(each.name == "lr_too_low" for each in self.findings)
            model, optimizer = (self.model, self.optimizer) if from_now else self.start  # type: ignore[misc]
            found = tried(self.findings, model, optimizer, loss, batches, steps=steps, repeats=repeats)
            self.trials = {each.name: each.tried for each in found}
            return found
        finally:
            if self.entered:
                self._hook()

    def to_pandas(self) -> pandas.DataFrame:
        """A row a watched step and parameter.

        Raises:
            ModuleNotFoundError: where pandas is missing: which command brings it.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("pandas is not installed: pip install 'thalweg[pandas]'") from error

        return pandas.DataFrame(list(self.record.rows()))

    def report(self, path: str | Path, findings: Sequence[Finding] | None = None) -> Path:
        """Write one HTML page, which asks the network for nothing; its path.

        Args:
            path: the file, in a folder that is there.
            findings: what stands on top; None: those of now.

        Raises:
            ValueError: for a folder that is not there, and for one that is in the file's place.
        """
        from thalweg.lens.page import of_run, write

        told = self.findings if findings is None else findings
        return write(path, lambda: of_run(self.record, told, self.language))

    def __str__(self) -> str:
        if not self.record.steps:
            return "lens, 0 steps: nothing was watched; steps are watched inside `with thalweg.lens(...)`"
        return f"lens, {self.record.steps} steps: {told(self.findings, self.language)}"

    @property
    def watched(self) -> bool:
        """Whether the next step is one that is watched."""
        return is_watched(self.record.steps + 1)

    def _anew(self) -> None:
        """The pass that ends now came upon no old gradient: those before it were of no step of this optimizer."""
        self.total = self.output.total if self.output is not None else 0.0

    def _inputs(self, layer: nn.Module, args: tuple[Any, ...]) -> None:
        first = next((each for each in args if isinstance(each, Tensor)), None)
        if self.record.inputs is None and first is not None and first.is_floating_point() and first.numel() > 1:
            values = first.detach().float()
            one_hot = bool(((values == 0) | (values == 1)).all())  # which is right
            if not (one_hot or isinstance(layer, NORMS)):
                self.record.inputs = float(values.mean()), float(values.std())

    def _forward(self, model: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not torch.is_grad_enabled() or not model.training:
            return
        logits = logits_of(output)
        if logits is None or not logits.requires_grad:
            return
        values = logits.detach()
        if self.watched or values.numel() <= SMALL_OUTPUT:
            logits.register_hook(lambda gradient: self._backward(values, gradient))  # type: ignore[no-untyped-call]

    def _backward(self, logits: Tensor, gradient: Tensor) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is told of as a finding
            self.output = read(logits, gradient)
            scores = offset_and_spread(logits) if self.watched and of_logits(self.output, logits, gradient) else None
        if scores is not None:
            self.record.scores[self.record.steps + 1] = scores
        if self.output is not None:
            self.total += self.output.total

    def _before(self, optimizer: Optimizer, args: Any = (), kwargs: Any = None) -> Any:
        """Called before `step`: where it is given a closure, the gradients are there once that has run."""
        kwargs = kwargs or {}
        closure = kwargs.get("closure") or (args[1] if len(args) > 1 else None)
        if closure is None:
            return self._ready(optimizer)
        calls = 0

        def watched_closure() -> Any:
            nonlocal calls
            loss, calls = closure(), calls + 1
            if calls == 1:
                self._ready(optimizer)
            else:
                self.record.reevaluated = True
            return loss

        if "closure" in kwargs:
            return args, {**kwargs, "closure": watched_closure}
        return (args[0], watched_closure, *args[2:]), kwargs

    def _ready(self, optimizer: Optimizer) -> None:
        """The gradients of a step are there, and the step is not taken yet."""
        overflow = getattr(optimizer, "found_inf", None)  # a GradScaler's, in a fused step that will not be taken
        self.skipped = overflow is not None and bool(overflow)
        if self.skipped:
            return
        record = self.record
        step = record.steps + 1
        if watched := is_watched(step):
            self._adopt()
        record.rates.append(float(optimizer.param_groups[0]["lr"]))
        if self.listening:
            self._keep_passes(step)
        self.lookout.see(step)
        self.probe.see(step, optimizer)
        if watched or self.reader.last is not None:
            cosine = self.reader.before(optimizer, watched)
            if not math.isnan(cosine):
                record.look_back[step] = cosine
        if are_rows_read(step) and self.lookout.found is None:
            self.rows.see()

    def _keep_passes(self, step: int) -> None:
        """What the backward passes of a step told, where they were listened to."""
        record = self.record
        passes, added = self.accumulation.since_last_step()
        record.passes = max(record.passes, passes)
        if added is not None:
            record.added_to_old[step] = added
        if self.output is not None:
            record.outputs[step] = self.output
            if math.isfinite(self.output.loss):
                record.losses[step] = self.output.loss
            record.totals[step] = self.total
        self.output, self.total = None, 0.0

    def _after(self, optimizer: Optimizer, *rest: Any) -> None:
        record = self.record
        if self.skipped:
            return
        record.steps += 1
        if self.listening:  # a closure that is called again within the step is no pass of the next
            self.output, self.total = None, 0.0
            self.accumulation.since_last_step()
        if (heard := is_heard(record.steps + 1)) is not bool(self.listening):
            self._listen(heard)
        if not is_watched(record.steps):
            return
        row = record.tensors[record.steps] = self.reader.after(optimizer)
        self.lookout.settle(record.steps, row.not_finite, len(row))
        if self.reader.shards.any:  # every process adds up at the same step
            self._count_still(list(row))
        if self.log is not None:
            look = record.look_back.get(record.steps)
            self.log(scalars(row) | ({"lens/look_back": look} if look is not None else {}), record.steps)
        if self.live is not None:
            self.live.show(record)

    def _count_still(self, names: list[str]) -> None:
        place = {name: index for index, name in enumerate(self.names)}
        table = self.reader.shards.by_tensor(self.rows.counts(names), [place[name] for name in names])
        for name, (rows, of) in zip(names, table.T.tolist(), strict=True):
            if of:
                self.record.dead[name] = int(rows), int(of)

    def _summarize(self) -> None:
        """What only the end tells: units that never had a gradient, parameters that never moved, and why."""
        record = self.record
        if not self.reader.shards.any:
            self._count_still(self.rows.names())
        record.not_finite = self.lookout.verdict(self.bad_loss, record.losses)
        record.contested = self.accumulation.foreign
        record.energies = self.probe.read()
        record.never = {} if self.moved is None else self.moved.never(record)
