"""The CUDA engine: the same plan and the same rule text, as one Triton kernel, and one launch for a dtype's tensors.

Each program steps one chunk of one tensor. Where the chunk is full and its memory aligned it moves 16 bytes an access;
the odd tail of a tensor goes through masks. Moments may be codes of 8 or 16 bits (`blocks`). What kernels read beside
the tensors lies on the device (`tables`); nothing in a step waits for the GPU. Numbers come from the host, or, for a
`DevicePlan`, from a kernel of their own (`numbers`).

State of this engine: its kernels are checked in Triton's interpreter and by compiling them for sm_90. They have not run
on a GPU yet; `make test-cuda` does that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from thalweg.engines import kernel
from thalweg.engines.engine import Engine
from thalweg.plan.on_device import DevicePlan, needs_device
from thalweg.plan.plan import Plan
from thalweg.rule.hyperparameters import number
from thalweg.tensors.rounding import FULL
from thalweg.update.cautious import LEAST
from thalweg.update.update import Group, Update

try:
    import triton  # noqa: F401
except ImportError:
    raise ImportError("engine='cuda' needs Triton: pip install 'thalweg[cuda]'") from None

from thalweg.engines.cuda import compiled, scalars, scalars_on_device
from thalweg.engines.cuda import device as card
from thalweg.engines.cuda.transfer import Ahead, Board, Chunks, Section
from thalweg.engines.trace import Untraceable

Tensor = torch.Tensor


class Desk:
    """What the engine keeps of a plan: its chunks, its board, and the numbers' places where it is a `DevicePlan`."""

    def __init__(self, plan: Plan) -> None:
        self.device = plan.device
        self.stream = card.stream_of(self.device)
        self.size = compiled.size_of(plan.form)
        self.chunks = Chunks(plan.numels, self.device, self.size[0])
        self.board: Board | None = None
        self.ahead: Ahead | None = None  # for graphs: while one is captured no pinned memory can be had
        self._told: set[Any] = set()  # the streams that use this memory, beside the one it was made on
        self._fixed: tuple[Any, Any, Any] = (None, None, None)
        self.outputs: dict[str, Tensor] = {}
        self.numbers: scalars.Numbers | None = None
        self.leaves: scalars.Leaves = ()

    def refresh(self, plan: Plan) -> None:
        """Other rows of a sparse gradient are other chunks."""
        if self.chunks.numels is not plan.numels:
            self.chunks = Chunks(plan.numels, self.device, self.size[0])
            self._told.clear()
        stream = card.stream_of(self.device)
        if stream == self.stream or stream in self._told or card.capturing(self.device):
            return  # what a graph reads lives as long as the parameters
        if self.board:
            held = [self.chunks.tensor, *self.outputs.values(), *self.board.device.values()]
            card.used_on(held, stream)
            self._told.add(stream)

    def fixed(self, plan: Plan) -> Any:
        """What of the table no step changes: made anew where the plan has another table, as for other sparse rows."""
        table, numels, fixed = self._fixed
        if table is not plan.table or numels is not plan.numels:
            fixed = _fixed(plan)
            self._fixed = plan.table, plan.numels, fixed
        return fixed

    def board_of(self, sections: dict[str, Section], owner: Tensor) -> Board:
        """The board with these sections. What a graph captures is a board of its own: every replay writes it anew."""
        if card.capturing(self.device):
            board = Board(sections, self.device, self.ahead)
            card.keep_with(owner, (board, self.chunks, self.outputs))
            return board
        if self.board is None or self.board.sections != sections:
            self.board = Board(sections, self.device)
            self._told.clear()
        if self.numbers:
            if self.ahead is None or self.ahead.words != self.board.words:
                self.ahead = Ahead(self.board.words, self.device)
            self.ahead.fill()
        return self.board


class Cuda(Engine):
    """Triton kernels over the plan's table."""

    name = "cuda"

    def __init__(self) -> None:
        self._desks: WeakKeyDictionary[Plan, Desk] = WeakKeyDictionary()

    def refusal(self, param: Tensor) -> str | None:
        if param.device.type != "cuda" and not (compiled.interpreted() and param.device.type == "cpu"):
            return f"it is on {param.device}, not on a CUDA device"
        return self.lacks(param.device) or kernel.refusal(param, "the CUDA kernels", tuple(kernel.DTYPES))

    def lacks(self, device: torch.device) -> str | None:
        return card.lacks(device) if device.type == "cuda" else None

    def on_device(self, update: Update, group: Group, guarded: bool) -> bool:
        return needs_device(update, group, guarded) and untraceable(update, group) is None

    def prepare(self, plan: Plan) -> None:
        compiled.step_kernel(plan.update, plan.dtype, plan.storage, compiled.interpreted(), plan.form, plan.wide)
        plan.follows = scalars_on_device.stays(plan)

    def launch(self, plan: Plan) -> Callable[[], object]:
        if not isinstance(plan, DevicePlan) and card.capturing(plan.device):
            raise RuntimeError(_uncapturable(plan.update))
        return partial(self._step, plan)

    def _step(self, plan: Plan) -> None:
        with card.on(plan.device):
            desk = self._desks.get(plan)
            if desk is None:
                desk = self._desks[plan] = Desk(plan)
            desk.refresh(plan)
            self._launch(plan, desk)

    def _launch(self, plan: Plan, desk: Desk) -> None:
        fixed = desk.fixed(plan)
        sections: dict[str, Section] = {"table": (fixed.size, "int64"), "gradients": (len(fixed), "int64")}
        if isinstance(plan, DevicePlan):
            plan.begun = True  # steps are counted there
            board = self._on_device(plan, desk, sections)
            rows, row_of, keys = (desk.outputs[name] for name in ("rows", "row_of", "keys"))
        else:
            board = self._on_host(plan, desk, sections)
            rows, row_of, keys = (board.device[name] for name in ("rows", "row_of", "keys"))
        if desk.chunks.count == 0:
            return
        plan.begun = True
        tables = (desk.chunks.tensor, board.device["table"], board.device["gradients"], row_of, rows)
        module = compiled.step_kernel(
            plan.update, plan.dtype, plan.storage, compiled.interpreted(), plan.form, plan.wide
        )
        grid, options = (desk.chunks.count,), {"BLOCK": desk.size[0], **compiled.update_options(desk.size)}
        scales = rows
        if plan.update.cautious:
            counts = torch.empty(desk.chunks.count, dtype=torch.int32, device=desk.device)
            module.agreeing[grid](*tables, counts, **options)
            numels = board.device["table"][: fixed.size].view(fixed.shape)[:, -1]
            scales = _scales(counts, desk.chunks.tensor_of, numels, rows.dtype)
        module.chunk[grid](*tables, keys, scales, **options)

    def _on_host(self, plan: Plan, desk: Desk, sections: dict[str, Section]) -> Board:
        """The rows of numbers that the plan has worked out."""
        number = kernel.DTYPES[plan.dtype]
        rows, followed = scalars_on_device.rows_of(plan, number) if plan.follows else (plan.kernel_rows(number), [])
        tensors = len(plan.row_of)
        keys = tensors if plan.stochastic else 0
        board = desk.board_of(
            {"row_of": (tensors, "int64"), **sections, "keys": (keys, "int64"), "rows": (rows.size, number)},
            plan.first,
        )
        _fill(board, plan, desk)
        board.host["row_of"][:] = plan.row_of
        if keys:
            board.host["keys"][:] = plan.table[:, -2]
        board.host["rows"][:] = rows.ravel()
        board.send()
        there = board.device["rows"][: rows.size].view(rows.shape) if followed else None
        for part, column, values in followed:
            there[part, column].copy_(values)  # type: ignore[index]
        return board

    def _on_device(self, plan: DevicePlan, desk: Desk, sections: dict[str, Section]) -> Board:
        """The settings, from which a kernel works the rows out."""
        names, tensors = plan.ages.names, len(plan.positions)
        if desk.numbers is None:
            desk.leaves = scalars.leaves(plan.update, plan.groups[0])
            desk.numbers = scalars.traced(plan.update, names, desk.leaves)
            desk.outputs = _outputs(plan, desk.device)
        width = desk.numbers.width
        board = desk.board_of(
            sections
            | {
                "places": (tensors, "int64"),
                "groups": (tensors, "int64"),
                "settings": (width * len(plan.groups), "float64"),
                "verdict": (2, "float64"),
            },
            plan.first,
        )
        _fill(board, plan, desk)
        board.host["places"][:], board.host["groups"][:] = plan.positions, plan.group_of
        followed = []  # settings that are tensors on the device: the host does not know them
        settings = board.host["settings"].reshape(len(plan.groups), width)
        for row, group in enumerate(plan.groups):
            for column, (name, value) in enumerate(scalars.flat(group, desk.leaves)):
                if isinstance(value, Tensor) and (value.device.type == "cuda" or value.device == desk.device):
                    followed.append((row * width + column, value))
                else:
                    settings[row, column] = number(name, value)
            settings[row, desk.numbers.settings :] = desk.numbers.constants
        if not isinstance(plan.scale, Tensor):
            board.host["verdict"][:] = plan.scale, 0.0
        board.send()
        for place, value in followed:
            board.device["settings"][place : place + 1].copy_(value.detach().reshape(1))
        if isinstance(plan.scale, Tensor):
            board.device["verdict"].copy_(plan.scale, non_blocking=True)
        module = compiled.per_step(plan.update, plan.dtype, names, desk.leaves, compiled.interpreted())
        given = (board.device[name] for name in ("places", "groups", "settings", "verdict"))
        outputs = (desk.outputs[name] for name in ("row_of", "rows", "keys"))
        module.numbers[(tensors,)](plan.ages.tensor.T, *given, *outputs, **compiled.NUMBERS)
        return board


def _fixed(plan: Plan) -> Any:
    """The table as kernels take it: no gradients, no keys, and how many elements each tensor has."""
    width = plan.table.shape[1]
    held = width if plan.storage is FULL and not plan.form else width - 3  # what is kept, the keys, the offset
    columns = [0, *range(2, held)]
    if plan.storage.kept:
        columns.append(held)
    if plan.stochastic:
        columns.append(width - 1)
    numels = np.array(plan.numels, dtype=np.int64).reshape(-1, 1)
    return np.concatenate([plan.table[:, columns], numels], axis=1)


def _fill(board: Board, plan: Plan, desk: Desk) -> None:
    board.host["table"][:] = desk.fixed(plan).ravel()
    board.host["gradients"][:] = plan.table[:, 1]


def _outputs(plan: DevicePlan, device: torch.device) -> dict[str, Tensor]:
    """What the kernel of the numbers writes."""
    number = getattr(torch, kernel.DTYPES[plan.dtype])
    count = len(plan.positions)
    return {
        "row_of": torch.empty(count, dtype=torch.int64, device=device),
        "rows": torch.empty(count * max(1, len(plan.update.program.formulas)), dtype=number, device=device),
        "keys": torch.empty(count, dtype=torch.int64, device=device),
    }


def _scales(counts: Tensor, tensor_of: Tensor, numels: Tensor, number: torch.dtype) -> Tensor:
    """What caution multiplies each tensor's step by. The sums are of whole numbers: any order gives the same."""
    agreeing = torch.zeros_like(numels).index_add_(0, tensor_of.long(), counts.long())
    numels = numels.to(number)
    return numels / torch.maximum(agreeing.to(number), LEAST * numels)


def untraceable(update: Update, group: Group) -> str | None:
    """Why a recipe's numbers cannot be worked out on the device; None where they can."""
    try:
        scalars.traced(update, ("step", *update.rule.carried), scalars.leaves(update, group))
    except Untraceable as error:
        return str(error)
    return None


def _uncapturable(update: Update) -> str:
    rule = update.rule
    if rule.per_tensor is not None:
        return f"{rule.name} measures whole tensors, and the host works with what it finds: no CUDA graph can hold that"
    return (
        f"a CUDA graph is capturing, and the numbers of {rule.name} come from the host: set capturable=True (where "
        "it is set, per_step does what no kernel can: docs/how_it_works.md)"
    )


ENGINE = Cuda()
