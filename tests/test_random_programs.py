"""Random programs of what training scripts do between steps: whatever the order, no difference from torch."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thalweg.optim as optim

SHAPES = [(5,), (4, 3), (), (2, 3, 4, 5), (0, 3), (7, 1)]
CLASSES = {
    "SGD": {"momentum": 0.9, "dampening": 0.2},
    "Adam": {},
    "AdamW": {"amsgrad": True},
    "NAdam": {},
    "RAdam": {"betas": (0.8, 0.95)},
    "Adagrad": {"initial_accumulator_value": 0.1},
    "RMSprop": {"momentum": 0.5},
    "ASGD": {"lambd": 0.1, "t0": 5.0},
}
ACTIONS = [
    *("step", "step", "step", "skip a gradient", "no gradients", "transposed gradient", "zero in place"),
    *("change lr", "toggle decay", "toggle maximize", "add a group", "rewrite step", "replace state"),
    *("save and load", "deepcopy", "move storage", "channels last", "to double"),
]


class Pair:
    """The same model twice: ours and torch's."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.random = name, torch.Generator().manual_seed(seed)
        first = [torch.randn(shape, generator=self.random) for shape in SHAPES[:4]]
        self.params = [[torch.nn.Parameter(p.clone()) for p in first] for _ in range(2)]
        self.optimizers = [
            getattr(module, name)([{"params": own[:2]}, {"params": own[2:], "lr": 0.03}], lr=0.02, **CLASSES[name])
            for module, own in zip((optim, torch.optim), self.params, strict=True)
        ]

    def act(self, action: str, place: int) -> None:
        index = place % len(self.params[0])
        getattr(self, action.replace(" ", "_"))(index)

    def step(self, index: int, skip: int | None = None, transposed: bool = False) -> None:
        for i in range(len(self.params[0])):
            p = self.params[0][i]
            g = torch.randn(p.shape, generator=self.random, dtype=torch.float64).to(p.dtype)
            for own in self.params:
                own[i].grad = None if i == skip else g.clone()
                if transposed and g.dim() == 2 and i != skip:
                    own[i].grad = g.t().contiguous().t()
        for optimizer in self.optimizers:
            optimizer.step()

    def skip_a_gradient(self, index: int) -> None:
        self.step(index, skip=index)

    def transposed_gradient(self, index: int) -> None:
        self.step(index, transposed=True)

    def no_gradients(self, index: int) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
            optimizer.step()

    def zero_in_place(self, index: int) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=False)

    def change_lr(self, index: int) -> None:
        self.set("lr", lambda group: group["lr"] * 0.7)

    def toggle_decay(self, index: int) -> None:
        self.set("weight_decay", lambda group: 0.0 if group["weight_decay"] else 0.1)

    def toggle_maximize(self, index: int) -> None:
        self.set("maximize", lambda group: not group["maximize"])

    def set(self, name: str, value) -> None:
        for optimizer in self.optimizers:
            optimizer.param_groups[0][name] = value(optimizer.param_groups[0])

    def add_a_group(self, index: int) -> None:
        if self.name == "Adagrad":  # torch's class has no state for a group that is added later
            return
        new = torch.randn(SHAPES[4 + index % 2], generator=self.random, dtype=torch.float64)
        for own, optimizer in zip(self.params, self.optimizers, strict=True):
            p = torch.nn.Parameter(new.to(own[0].dtype))
            own.append(p)
            optimizer.add_param_group({"params": [p], "lr": 0.01})

    def save_and_load(self, index: int) -> None:
        for optimizer in self.optimizers:
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    def deepcopy(self, index: int) -> None:
        self.optimizers = [copy.deepcopy(optimizer) for optimizer in self.optimizers]
        self.params = [[p for group in each.param_groups for p in group["params"]] for each in self.optimizers]

    def move_storage(self, index: int) -> None:
        for own in self.params:
            own[index].data = own[index].data.clone()

    def channels_last(self, index: int) -> None:
        for own in self.params:
            for p in own:
                if p.dim() == 4:
                    p.data = p.data.contiguous(memory_format=torch.channels_last)

    def rewrite_step(self, index: int) -> None:
        for own, optimizer in zip(self.params, self.optimizers, strict=True):
            if "step" in optimizer.state.get(own[index], {}):
                optimizer.state[own[index]]["step"].fill_(20.0)

    def replace_state(self, index: int) -> None:
        for own, optimizer in zip(self.params, self.optimizers, strict=True):
            state = optimizer.state.get(own[index], {})
            for name in ("exp_avg", "momentum_buffer", "sum"):
                if name in state:
                    state[name] = state[name] * 1.5

    def to_double(self, index: int) -> None:
        """As `model.double()` and the states with it; ours brings its states along by itself."""
        for own, optimizer in zip(self.params, self.optimizers, strict=True):
            for p in own:
                p.grad, p.data = None, p.data.double()
                for name, value in optimizer.state.get(p, {}).items():
                    if isinstance(value, torch.Tensor) and name not in ("step", "mu_product", "eta", "mu"):
                        optimizer.state[p][name] = value.double()

    def check(self, history: list[str]) -> None:
        for p, q in zip(*self.params, strict=True):
            assert torch.allclose(p, q, rtol=2e-4, atol=2e-5), history
            mine, other = (each.state.get(x, {}) for each, x in zip(self.optimizers, (p, q), strict=True))
            for name in other:
                if isinstance(other[name], torch.Tensor):
                    # in double: torch's loader casts NAdam's product of momenta to the parameter's dtype
                    ours, theirs = mine[name].double(), other[name].double()
                    assert torch.allclose(ours, theirs, rtol=2e-4, atol=1e-6), (name, history)


@pytest.mark.parametrize("name", CLASSES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 99), program=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 9)), max_size=15))
def test_no_program_tells_ours_from_torchs(name, seed, program):
    pair = Pair(name, seed)
    done = ["step"]
    pair.step(0)
    for action, place in program:
        pair.act(action, place)
        done.append(f"{action} {place}")
    pair.step(0)
    pair.check([*done, "step"])
