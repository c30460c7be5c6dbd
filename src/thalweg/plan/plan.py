"""Where the numbers live: parameters, gradients and state as flat memory, cut into chunks, with one table of addresses.

Storage stays the user's: nothing is moved or flattened, tensors are held in a step and not between steps, and what
could have moved is compared before every step (`Signature`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thalweg.plan.chunks import Integers, cut
from thalweg.plan.counters import Ages
from thalweg.plan.measuring import measure_each, measure_stacks
from thalweg.plan.members import Member, UserTensors
from thalweg.plan.process_groups import as_plain_numbers
from thalweg.rule.hyperparameters import plain
from thalweg.tensors.autocast import as_written
from thalweg.tensors.layout import is_shard, laid_like, lies_like, local, real
from thalweg.tensors.quantization import BLOCK, Form
from thalweg.tensors.rounding import FULL, Noise, Rounding, keys
from thalweg.tensors.subclasses import check_memory
from thalweg.tensors.subclasses import plain as plain_memory
from thalweg.update.update import Group, Reader, Settings, Update

Tensor = torch.Tensor


HELD = ("members", "params", "live", "states", "rounding_state", "scales")  # of a plan, for as long as a step lasts


class Plan:
    """The tensors that one kernel steps together, and which row of numbers each of them takes.

    A step goes `refresh` (this step's gradients), `advance` (the numbers), `settle` (those measured on tensors), then
    an engine, then `count` and `close`. Until `count` nothing outlives the step: one that fails has not been. `members`
    say whose tensors these are; `ages` is the buffer that their positions point into.

    Between steps a plan knows addresses and positions, and holds no tensor, state or group: what their owner gives up
    is free at once. A step begins with `hold`.
    """

    form: Form = ()  # the states that are kept small: `thalweg.plan.quantized`
    follows = False  # True where the engine reads what was measured on its device, and the host does not
    wide = False  # gradients are read as float32, beside 16-bit parameters: some came in another dtype than these
    kernel: Any = None  # what an engine has built for it

    def __init__(self, update: Update, storage: Rounding, members: Sequence[Member], ages: Ages) -> None:
        self.update, self.storage, self.members, self.ages = update, storage, members, ages
        self._held: UserTensors | None = None
        self.group_numbers = [m.number for m in members]
        self.differentiable = bool(members[0].group["differentiable"])
        self.sharded = any(is_shard(m.param) for m in members)
        self.gradients: list[Tensor] = []
        self.rows: list[tuple[dict[str, Any], ...]] = []
        self._kernel_rows: npt.NDArray[Any] = np.zeros((0, 0))  # the same for a kernel
        self.measured: list[dict[str, Any]] = []
        self.staged: dict[int, Tensor] = {}  # gradients that a direction has taken the place of
        self.param_dtype, self.device = self.params[0].dtype, self.params[0].device
        self.dtype = real(self.params[0]).dtype
        self.positions = [m.position for m in members]
        whole = list(range(self.positions[0], self.positions[-1] + 1)) == self.positions
        self._index = slice(self.positions[0], self.positions[-1] + 1) if whole else np.array(self.positions)
        self._to_copy: list[int] | None = None
        self._places: list[int] = []  # where the gradients in the table are
        self._readers = {m.number: Reader(update, self.differentiable) for m in members}
        self._carried = {name: ages.names.index(name) for name in update.rule.carried}
        self._left = b""  # the ages as the last step left them
        self.owed: list[Callable[[], object]] = []  # the same for numbers that lie elsewhere
        self.count: Callable[[], object] = bool  # puts the next in place, in C, which no signal parts; here, nothing
        if ages.on_host:
            self._one = np.zeros((len(ages.names), len(members)))
            self._one[0] = 1.0
            self._next = np.full_like(self._one, np.nan)  # the ages as this step will leave them
            self.count = partial(ages.values.__setitem__, (slice(None), self._index), self._next)
        self.begun = False  # something that cannot be taken back is being written
        self._followed: list[tuple[dict[str, Any], str, Tensor]] = []  # numbers to keep for autograd, by state and name
        self.row_of = np.zeros(len(members), dtype=np.int64)
        self._lay_out()
        self._form_rows()

    def hold(self, held: UserTensors) -> None:
        """Take up what a step works on."""
        self._held = held

    @cached_property
    def members(self) -> Sequence[Member]:
        """Whose tensors these are."""
        if self._held is None:
            return []
        params, _, state, groups = self._held
        return [
            Member(params[place], state.get(params[place], {}), groups[number], place, number)
            for place, number in zip(self.positions, self.group_numbers, strict=True)
        ]

    @cached_property
    def params(self) -> list[Tensor]:
        """The parameters' memory."""
        return [local(m.param) if self.differentiable else local(m.param).detach() for m in self.members]

    @cached_property
    def live(self) -> list[Tensor]:
        """The parameters themselves, or this process's parts of them."""
        return [local(m.param) for m in self.members]

    @cached_property
    def states(self) -> list[list[Tensor]]:
        """The states that the rule's elements have."""
        names = [self.update.rule.torch_names[letter] for letter in self.update.rule.states]
        return [[local(m.state[name]) for name in names] for m in self.members]

    @cached_property
    def rounding_state(self) -> list[Tensor | None]:
        """What the storage keeps beside the parameters."""
        return [local(m.state[self.storage.kept]) if self.storage.kept else None for m in self.members]

    @property
    def first(self) -> Tensor:
        """One of the parameters."""
        assert self._held is not None
        return self._held.parts[self.positions[0]]

    def select(self, of_all: Sequence[Any]) -> list[Any]:
        """What belongs to these parameters of a list for all."""
        if type(self._index) is slice:
            return list(of_all[self._index])
        return [of_all[place] for place in self.positions]

    def _lay_out(self) -> None:
        """What kernels read: how many elements each tensor has, and where it is."""
        self.numels = [real(p).numel() for p in self.params]
        self.total = sum(self.numels)
        self._chunks: dict[tuple[int, int], tuple[Integers, Integers]] = {}
        self.table = np.array([self._addresses(index) for index in range(len(self.members))], dtype=np.int64)

    def _addresses(self, index: int) -> list[int]:
        p, kept = self.params[index], self.rounding_state[index]
        addresses = [tensor.data_ptr() for tensor in (p, p, *self.states[index])]
        if self.storage is FULL:
            return addresses
        return [*addresses, kept.data_ptr() if kept is not None else 0, 0, self.members[index].offset]

    def refresh(self, gradients: Sequence[Tensor | None]) -> None:
        """Take this step's gradients out of those of all parameters; one that lies in memory in another way than its
        parameter is copied."""
        assert self._held is not None
        own, params = self.select(gradients), self._held.parts
        if self._to_copy is None:  # the signature holds what this depends on
            pairs = enumerate(zip(own, self.select(params), strict=True))
            self._to_copy = [i for i, (g, p) in pairs if not lies_like(g, p, self.gradient_dtype)]
        if not self.differentiable:
            for index in self._to_copy:
                g, p = plain_memory(own[index]), params[self.positions[index]]
                fits = lies_like(g, p, self.gradient_dtype)
                own[index] = g if fits else laid_like(g, p, self.gradient_dtype)
        self.gradients = own
        places = list(map(Tensor.data_ptr, own))
        if places != self._places:
            self._places = []
            if 0 in places:
                for place, g in zip(self.positions, own, strict=True):
                    check_memory(place, g, "its gradient")
            self.table[:, 1] = places
            self._places = places

    @property
    def gradient_dtype(self) -> torch.dtype:
        """What gradients are to be brought to: float16 has no 1e5, and bfloat16 no 1.001."""
        return torch.float32 if self.wide else self.param_dtype

    @property
    def copies(self) -> bool:
        """True where gradients are copied before they are read."""
        return self._to_copy != []

    def aim(self, addresses: Integers) -> None:
        """Take this step's gradients by their addresses, for all parameters, from who holds them and has laid them out
        as the parameters are. For kernels alone: `read` has no gradient then."""
        self._places = []
        self.table[:, 1] = addresses[self._index]

    def advance(self, scale: Any = 1.0) -> None:
        """One step on: the numbers of each row, one dict for each piece of the recipe."""
        rule = self.update.rule
        for place, member in zip(self.positions, self.members, strict=True) if self.ages.lent else ():
            self.ages.follow(place, member.state)
        now = self.ages.values[:, self._index]
        if now.tobytes() != self._left:
            self._form_rows()  # somebody wrote into a step count
            now = self.ages.values[:, self._index]
        block = np.add(now, self._one, self._next)
        self.rows, self._followed, self.begun = [], [], False
        read: dict[int, Settings] = {}
        for members in self._rows:
            first = members[0]
            carried: dict[str, Any] = {name: float(block[index, first]) for name, index in self._carried.items()}
            if self.differentiable:
                carried |= self._recorded(first, carried)
            number = self.group_numbers[first]
            if number not in read:
                read[number] = self._readers[number].read(self._group(first))
            numbers = self.update.numbers(float(block[0, first]), carried, read[number], scale)
            for name, index in self._carried.items():
                if name not in rule.measures:
                    block[index, members] = plain(numbers[-1][name])
                    if self.differentiable:
                        self._record(members, name, numbers[-1][name])
            self.rows.append(numbers)
        if self.stochastic:
            self._key([keys(step) for step in block[0].tolist()])

    def _group(self, index: int) -> Group:
        assert self._held is not None
        return self._held.groups[self.group_numbers[index]]

    def measure(self) -> None:
        """The numbers that the rule measures on tensors."""
        self.begun = bool(self.update.rule.matrices)
        with as_written(self.device):
            measured = measure_stacks(self) if self.update.rule.stacks else measure_each(self)
        self.measured = measured if self.differentiable or self.follows else as_plain_numbers(measured)

    def ages_now(self) -> list[list[float]]:
        """Of each tensor its step count and carried numbers, before this step."""
        ages: list[list[float]] = self.ages.values[:, self._index].T.tolist()
        return ages

    def by_letter(self, index: int) -> dict[str, Tensor]:
        """A tensor's states, and matrices, by their letters in the equations."""
        state = self.members[index].state
        return {letter: state[name] for letter, name in self.update.rule.torch_names.items() if name in state}

    def keep_matrices(self, index: int, matrices: Mapping[str, Tensor]) -> None:
        """Put back what `per_tensor` has written into a tensor's states: it wrote into the states themselves."""

    def redirect(self, index: int, gradient: Tensor, direction: Tensor) -> None:
        """Let a direction take the gradient's place. It lies as the states do, or as the parameter."""
        if self.update.cautious:
            self.staged[index] = gradient
        like = self.states[index][0] if self.states[index] else real(self.params[index])
        kind = direction.dtype
        self.gradients[index] = direction if lies_like(direction, like, kind) else laid_like(direction, like, kind)
        self._places = []
        self.table[index, 1] = self.gradients[index].data_ptr()

    def owe(self) -> None:
        """Prepare the counting of numbers that lie elsewhere."""
        pairs = enumerate(zip(self.positions, self.members, strict=True))
        self.owed = [self.ages.owed(place, member.state, self._next[:, index]) for index, (place, member) in pairs]

    def count_one(self, index: int) -> None:
        """What `count` does, for one tensor."""
        if self.owed:
            owed, self.owed[index] = self.owed[index], bool
            owed()
        self.ages.values[:, self.positions[index]] = self._next[:, index]

    def uncounted(self) -> list[Member]:
        """Those that have not taken this step."""
        if self._held is None:
            return list(self.members)
        ahead = self.ages.values[0, self._index] != self._next[0]
        return [member for member, left in zip(self.members, ahead.tolist(), strict=True) if left]

    def close(self) -> None:
        """The step is done. Gradients are not held until the next: zero_grad() may free them."""
        self._left = self._next.tobytes()
        self.begun = False
        for state, name, number in self._followed:
            state[name] = number
        self.let_go()

    def let_go(self) -> None:
        """Forget this step's gradients, and whatever else somebody owns."""
        self.gradients, self.staged, self._followed, self.owed, self._held = [], {}, [], [], None
        if "members" in self.__dict__:  # which all of these are made of
            for name in HELD:
                self.__dict__.pop(name, None)

    def _recorded(self, index: int, names: Iterable[str]) -> dict[str, Tensor]:
        """Of the carried numbers those that autograd follows."""
        state = self.members[index].state
        return {name: state[name] for name in names if state[name].requires_grad}

    def _record(self, indices: Iterable[int], name: str, number: Any) -> None:
        """Keep a number that depends on a hyperparameter for the next step, as autograd needs it."""
        if isinstance(number, Tensor) and number.requires_grad:
            self._followed += [(self.members[index].state, name, number) for index in indices]

    def _key(self, numbers: Sequence[int]) -> None:
        self._keys = numbers
        self.table[:, -2] = np.array(numbers, dtype=np.uint64).view(np.int64)

    @property
    def stochastic(self) -> bool:
        """True where anything is rounded stochastically."""
        return self.storage.name == "stochastic"

    def noise(self, index: int) -> Noise:
        """Where a tensor's random bits come from in this step."""
        if not self.stochastic:
            return Noise(0)
        return Noise(self._keys[index], self.members[index].offset)

    def numbers(self, index: int) -> tuple[dict[str, Any], ...]:
        """The numbers of one tensor: one dict for each piece of the recipe."""
        return self.rows[int(self.row_of[index])]

    def settle(self, measured: Sequence[Mapping[str, Any]]) -> None:
        """Put the numbers that were measured, for each tensor, where they belong."""
        carried = [name for name in self.update.rule.measures if name in self.update.rule.carried]
        for index, numbers in enumerate(measured):
            self.numbers(index)[-1].update(numbers)
            for name in carried:
                self._next[self.ages.names.index(name), index] = plain(numbers[name])
                if self.differentiable:
                    self._record([index], name, numbers[name])

    def hand_on(self, stepped: Collection[int]) -> None:
        """Bring the carried numbers of parameters that were not stepped up to those that were: they are of all."""
        values = self.ages.values
        others = [place for place in range(values.shape[1]) if place not in stepped]
        for name in self.update.rule.carried:
            row = self.ages.names.index(name)
            values[row, others] = values[row, self.positions[0]]

    def kernel_rows(self, dtype: str) -> npt.NDArray[Any]:
        """The rows of numbers that a kernel reads, rounded to its precision here and nowhere else."""
        program, rows = self.update.program, self._kernel_rows
        if len(rows) != len(self.rows):
            self._kernel_rows = rows = np.empty((len(self.rows), len(program.formulas)), dtype=dtype)
        for index, row in enumerate(map(program.row, map(self.update.element_numbers, self.rows))):
            if all([abs(number) < 3e38 for number in row]):
                rows[index] = row
                continue
            with np.errstate(over="ignore"):  # 3 us. A sum in double precision may be infinite in the kernel's
                rows[index] = row
        return rows

    def now(self, index: int) -> Tensor:
        """A parameter as torch's operations take it."""
        return self.live[index] if self.differentiable else self.live[index].detach()

    def read(self, index: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """A tensor, its gradient and its states, as the rule's equations take them."""
        p = self.storage.load(real(self.now(index)), self.rounding_state[index])
        return p, real(self.gradients[index]).to(p.dtype), self._read_states(index)

    def _read_states(self, index: int) -> list[Tensor]:
        return [real(state) for state in self.states[index]]

    def write(self, index: int, p: Tensor, states: Sequence[Tensor]) -> None:
        """Put back what the rule's equations gave."""
        self.storage.save(real(self.now(index)), self.rounding_state[index], p, self.noise(index))
        self._write_states(index, states)

    def _write_states(self, index: int, states: Sequence[Tensor]) -> None:
        for state, new in zip(self.states[index], states, strict=True):
            real(state).copy_(new)

    def chunks(self, parts: int, limit: int) -> tuple[Integers, Integers]:
        """The work cut into `parts` equal shares: rows of (tensor, first element, length, row), none longer than
        `limit`, and the bounds of the shares in them."""
        key = (parts, limit)
        if key not in self._chunks:
            chunks, bounds = cut(self.numels, parts, limit, BLOCK if self.form else 1)
            chunks[:, 3] = self.row_of[chunks[:, 0]]
            self._chunks[key] = chunks, bounds
        return self._chunks[key]

    def _form_rows(self) -> None:
        """A row for each group and age that occur, or, where tensors are measured, for each tensor: the places of its
        members in this plan, the first of which speaks for all."""
        if self.update.rule.summed:
            self._share_carried()
        block = self.ages.values[:, self._index]
        rows: dict[tuple[float, ...], list[int]] = {}
        each = self.update.rule.per_tensor is not None
        for index, (number, column) in enumerate(zip(self.group_numbers, block.T.tolist(), strict=True)):
            rows.setdefault((index if each else number, *column), []).append(index)
        self._rows = list(rows.values())
        row_of = {index: row for row, members in enumerate(self._rows) for index in members}
        self.row_of[:] = [row_of[index] for index in range(len(self.positions))]
        for chunks, _ in self._chunks.values():
            chunks[:, 3] = self.row_of[chunks[:, 0]]
        self._left = block.tobytes()  # last: until then they are to be formed

    def _share_carried(self) -> None:
        """Numbers summed over all tensors are those of the oldest one: a late parameter joins in at the present."""
        values = self.ages.values
        oldest = int(values[0].argmax())
        for name in self.update.rule.carried:
            row = self.ages.names.index(name)
            values[row, self._index] = values[row, oldest]
