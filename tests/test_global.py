"""What looks at all gradients at once looks at those of all processes: under ZeRO, FSDP2, tensor parallel and FSDP1."""

from __future__ import annotations

import os
import traceback
from typing import Any

import pytest
import torch
from sharding import needs_fsdp2
from torch import distributed

import processes
import thalweg.optim as optim

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="this torch has no gloo"
)
STEPS = 8
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "clipped": ("SGD", {"lr": 1.0, "clip_norm": 0.05}),
    "skipped": ("SGD", {"lr": 0.01, "on_nonfinite": "skip_step"}),
    "raised": ("SGD", {"lr": 0.01, "on_nonfinite": "raise"}),
    "prodigy": ("Prodigy", {"d0": 1e-3}),
    "lars": ("LARS", {"lr": 1.0, "trust_coefficient": 0.01, "weight_decay": 0.1}),
}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)
    )


def handed(case: str, model: torch.nn.Module) -> Any:
    """All parameters; to LARS in two groups, which differ in what stands beside its norms."""
    params = list(model.parameters())
    if case != "lars":
        return params
    return [{"params": params[::2]}, {"params": params[1::2], "trust_coefficient": 0.05, "weight_decay": 0.2}]


def train(case: str, model: Any, optimizer: Any, late: bool = False) -> list[Any]:
    """Every process takes the whole batch. In the fourth step one element of one gradient is infinite; with `late` the
    last layer has no gradients before the third."""
    told: list[Any] = []
    params = dict(model.named_parameters())
    for step in range(STEPS):
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        (model(x) ** 2).sum().backward()
        for name, p in params.items():
            g = getattr(p.grad, "_local_tensor", p.grad)
            if late and step < 2 and "4." in name:
                p.grad = None
            elif step == 3 and case in ("skipped", "raised") and name.endswith("0.bias") and g.numel():
                g.view(-1)[0] = torch.inf
        try:
            optimizer.step()
        except FloatingPointError:
            told.append(step)
    guard = getattr(optimizer, "optim", optimizer).guard
    told += [guard.clipped_steps, guard.skipped_steps]
    return told


def whole(p: Any) -> torch.Tensor:
    return (p.full_tensor() if hasattr(p, "full_tensor") else p).detach().clone()


def alone(case: str, late: bool = False) -> tuple[list[torch.Tensor], list[Any]]:
    name, settings = CASES[case]
    model = network()
    optimizer = getattr(optim, name)(handed(case, model), **settings)
    told = train(case, model, optimizer, late)
    return [p.detach() for p in model.parameters()], told


def zero(case: str) -> tuple[Any, Any]:
    from torch.distributed.optim import ZeroRedundancyOptimizer

    name, settings = CASES[case]
    model = network()
    optimizer = ZeroRedundancyOptimizer(handed(case, model), optimizer_class=getattr(optim, name), **settings)
    told = train(case, model, optimizer)
    return [*map(whole, model.parameters())], told


def zero_late(case: str) -> tuple[Any, Any]:
    from torch.distributed.optim import ZeroRedundancyOptimizer

    name, settings = CASES[case]
    model = network()
    optimizer = ZeroRedundancyOptimizer(handed(case, model), optimizer_class=getattr(optim, name), **settings)
    told = train(case, model, optimizer, late=True)
    return [*map(whole, model.parameters())], told


def fsdp(case: str) -> tuple[Any, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    name, settings = CASES[case]
    model = network()
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    optimizer = getattr(optim, name)(handed(case, model), **settings)
    told = train(case, model, optimizer)
    return [*map(whole, model.parameters())], told


def tensor_parallel(case: str) -> tuple[Any, Any]:
    """Two layers are split, the third is on both processes as a plain tensor."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    name, settings = CASES[case]
    model = network()
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    parallelize_module(model, init_device_mesh("cpu", (2,)), plan)
    optimizer = getattr(optim, name)(handed(case, model), **settings)
    told = train(case, model, optimizer)
    return [*map(whole, model.parameters())], told


# Small state, too: FSDP1's checkpoints gather what has the parameters' shapes, and one dtype on all processes.
PIECES = [{"cautious": True}, {"state_dtype": "int8"}, {"state_dtype": "bfloat16"}]


def flat(case: str) -> tuple[Any, Any]:
    from torch.distributed.fsdp import FullyShardedDataParallel

    name, settings = CASES[case]
    for original in (True, False):
        model = FullyShardedDataParallel(network(), device_id=torch.device("cpu"), use_orig_params=original)
        for kind, own in [(name, settings), *(("Adam", each) for each in PIECES)]:
            with pytest.raises(ValueError, match="is a piece of FSDP1's"):
                getattr(optim, kind)(model.parameters(), **own)
        optim.Adam(model.parameters())
    return None, None


class TwoHeads(torch.nn.Module):
    """The second head is used on the second process alone."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.first, self.second = network().double(), torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        self.double()

    def forward(self, x: torch.Tensor, both: bool) -> torch.Tensor:
        hidden = torch.tanh(self.body(x))
        return self.first(hidden) + (self.second(hidden) if both else 0)


def curved(wrap: Any, ranks: Any) -> list[torch.Tensor]:
    """AdaHessian on the mean over the ranks' parts of the batch; parameters and estimates."""
    torch.manual_seed(0)
    model = TwoHeads()
    forward = wrap(model)
    optimizer = optim.AdaHessian(model.parameters(), lr=0.1, engine="reference")
    for step in range(4):
        x = torch.randn(16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        losses = [(forward(x[rank * 8 : rank * 8 + 8], rank == 1) ** 2).mean() for rank in ranks]
        optimizer.zero_grad()
        optimizer.estimate(torch.stack(losses).mean())
        optimizer.step()
    return [*map(whole, model.parameters()), *[state["hessian_diag"] for state in optimizer.state.values()]]


def replicas() -> list[torch.Tensor]:
    def wrap(model: torch.nn.Module) -> torch.nn.Module:
        return torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)

    return curved(wrap, [distributed.get_rank()])


RUNS = [zero, zero_late, fsdp, tensor_parallel, flat]
MARKS = {fsdp: needs_fsdp2}


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    left: dict[Any, Any] = {}
    for run in RUNS:
        for case in CASES:
            try:
                left[run.__name__, case] = run(case)
            except Exception:
                left[run.__name__, case] = traceback.format_exc()
    try:
        left["replicas"] = replicas()
    except Exception:
        left["replicas"] = traceback.format_exc()
    torch.save(left, f"{folder}/{rank}.pt")
    os._exit(0)  # as in test_distributed: without a farewell


@pytest.fixture(scope="module")
def left(tmp_path_factory) -> list[dict[Any, Any]]:
    folder = tmp_path_factory.mktemp("global")
    processes.start(work, (str(folder),), 2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("run", [pytest.param(run.__name__, marks=MARKS.get(run, ())) for run in RUNS])
def test_two_processes_judge_as_one(run, case, left):
    expected, told = alone(case, late=run == "zero_late")
    if case == "clipped":
        assert told[-2] == STEPS
    if case == "skipped":
        assert told[-1] == 1
    if case == "raised":
        assert told[0] == 3
    for each in left:
        outcome = each[run, case]
        assert not isinstance(outcome, str), outcome
        params, said = outcome
        if run == "flat":
            continue
        assert said == told
        for p, q in zip(params, expected, strict=True):
            assert torch.allclose(p, q, rtol=1e-4, atol=1e-5), (p - q).abs().max()


def test_curvature_is_averaged_over_replicas(left):
    expected = curved(lambda model: model, [0, 1])
    for each in left:
        assert not isinstance(each["replicas"], str), each["replicas"]
        for mine, whole_batch in zip(each["replicas"], expected, strict=True):
            assert torch.allclose(mine, whole_batch, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_prodigy_stays_finite_under_a_steady_gradient(engine):
    """What is carried is beyond float32 after 43 steps."""
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = optim.Prodigy([p], engine=engine)
    for _ in range(60):
        p.grad = torch.ones_like(p)
        optimizer.step()
        assert p.isfinite().all()
    assert (p < -1e15).all() and optimizer.state[p]["r"] > torch.finfo(torch.float32).max
