"""Several threads, several processes, and an end in the middle of it: steps stay what they are alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

import processes
import thalweg.optim as optim
from test_processes import output

HERE = Path(__file__).parent
SIZE = 200_003  # enough for several threads, and no multiple of anything
STEPS = 25
SETTINGS = {"Adam": {}, "SGD": {"momentum": 0.9}, "RAdam": {}, "Adadelta": {}}


class Work:
    """An optimizer with gradients of its own, and what it comes to."""

    def __init__(self, name: str, size: int = SIZE) -> None:
        self.random = torch.Generator().manual_seed(len(name))
        self.params = [torch.nn.Parameter(torch.randn(n, generator=self.random)) for n in (size, 7)]
        self.optimizer = getattr(optim, name)(self.params, lr=0.01, **SETTINGS[name])

    def step(self) -> None:
        for p in self.params:
            p.grad = torch.randn(p.shape, generator=self.random)
        self.optimizer.step()

    def outcome(self) -> list[torch.Tensor]:
        states = [value for p in self.params for value in self.optimizer.state[p].values()]
        return [*(p.detach() for p in self.params), *states]


def alone(name: str, size: int = SIZE) -> list[torch.Tensor]:
    work = Work(name, size)
    for _ in range(STEPS):
        work.step()
    return work.outcome()


def same(ours: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return len(ours) == len(expected) and all(map(torch.equal, ours, expected))


@pytest.mark.parametrize("size", [1000, SIZE])
def test_threads_stepping_different_optimizers_at_once(size):
    """Bit for bit what each does alone; the barrier lets every single step meet the others'."""
    works = {name: Work(name, size) for name in SETTINGS}
    barrier = threading.Barrier(len(works), timeout=60)

    def run(work: Work) -> None:
        for _ in range(STEPS):
            barrier.wait()
            work.step()

    with ThreadPoolExecutor(len(works)) as pool:
        list(pool.map(run, works.values()))
    for name, work in works.items():
        assert same(work.outcome(), alone(name, size)), name


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_in_changing_threads(name):
    """One optimizer, its steps one after another in now this, now that thread, as a server or an asynchronous loop
    has it."""
    work = Work(name)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for _ in range(STEPS // 2):
            one.submit(work.step).result()
            other.submit(work.step).result()
    work.step()
    assert same(work.outcome(), alone(name))


@pytest.mark.apart
def test_the_number_of_threads_may_change_between_steps():
    """Where a tensor is cut is no part of the result."""
    program = f"""
import sys; sys.path[:0] = [{str(HERE)!r}]
import torch
from test_concurrency import Work, SETTINGS, same
from thalweg.engines import cpu
for name in SETTINGS:
    outcomes, cuts = [], []
    for counts in ((1,) * 8, (1, 2, 3, 4, 2, 4, 1, 3), (4,) * 8):
        work = Work(name)
        for count in counts:
            torch.set_num_threads(count)
            work.step()
            cuts.append(cpu.ENGINE.threads.number(200_010))
        outcomes.append(work.outcome())
    assert all(same(outcome, outcomes[0]) for outcome in outcomes), name
    assert cuts[8:16] == [1, 2, 3, 4, 2, 4, 1, 3], cuts
print("same")
"""
    assert output(program, NUMBA_NUM_THREADS="4") == "same\n"


@pytest.mark.apart
def test_loader_workers_between_steps():
    """DataLoader forks its workers in the middle of training, anew each epoch; the workers step too."""
    program = """
import torch, thalweg.optim as optim
class Rows(torch.utils.data.Dataset):
    def __len__(self): return 8
    def __getitem__(self, index):
        own = torch.nn.Parameter(torch.zeros(100_000)); own.grad = torch.full((100_000,), float(index))
        optim.SGD([own], lr=1.0).step()
        return own.detach()[-1]
torch.set_num_threads(2)
p = torch.nn.Parameter(torch.zeros(100_000))
o = optim.SGD([p], lr=1.0)
for _ in range(3):
    for row in torch.utils.data.DataLoader(Rows(), num_workers=2, multiprocessing_context="fork"):
        p.grad = row.expand(100_000).clone()
        o.step()
print(p[0].item(), p[-1].item())
"""
    assert output(program) == "84.0 84.0\n"


HOGWILD = ("SGD", "Adam")


def hogwild(rank: int, models: list[torch.nn.Module]) -> None:
    """One of several processes that train the same memory without a lock."""
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    for name, model in zip(HOGWILD, models, strict=True):
        optimizer = getattr(optim, name)(model.parameters(), lr=0.02, **SETTINGS[name])
        for _ in range(150):
            inputs = torch.randn(16, 4)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True)).backward()
            optimizer.step()


def test_hogwild():
    """Processes step one model in shared memory: it stays shared, and trains."""
    torch.manual_seed(0)
    models = [torch.nn.Linear(4, 1).share_memory() for _ in HOGWILD]
    params = [p for model in models for p in model.parameters()]
    addresses = [p.data_ptr() for p in params]
    inputs = torch.randn(256, 4)

    def losses() -> list[float]:
        return [torch.nn.functional.mse_loss(model(inputs), inputs.sum(1, keepdim=True)).item() for model in models]

    before = losses()
    processes.start(hogwild, (models,), 2)
    for name, first, last in zip(HOGWILD, before, losses(), strict=True):
        assert last < first / 100, name
    assert [p.data_ptr() for p in params] == addresses
    assert all(p.is_shared() for p in params)


@pytest.mark.apart
def test_a_thread_may_begin_to_step_when_the_main_thread_has_ended(tmp_path):
    """The interpreter waits for it, with pools already closed: even a kernel can still be made."""
    program = """
import threading, torch, thalweg.optim as optim
p = torch.nn.Parameter(torch.ones(100_000)); p.grad = torch.ones(100_000)
o = optim.SGD([p], lr=0.25)
def work():
    threading.main_thread().join()
    for _ in range(4): o.step()
    print(p[-1].item())
threading.Thread(target=work).start()
"""
    assert output(program, THALWEG_CACHE=str(tmp_path)) == "0.0\n"


@pytest.mark.apart
def test_the_interpreter_may_end_in_the_middle_of_a_step():
    """The step of a thread that nobody waits for begins in the very last exit handler, and outlasts the interpreter.

    One step, not a loop of them: before Python 3.14 the end of a daemon thread inside a call of torch's aborts the
    process, whichever optimizer it steps.
    """
    program = """
import atexit, threading, time
begin = threading.Event()
def last():
    begin.set()
    time.sleep(0.005)  # until the thread is in its kernel
atexit.register(last)  # handlers run in reverse order: those of torch and Numba come before
import torch, thalweg.optim as optim
torch.set_num_threads(1)
p = torch.nn.Parameter(torch.zeros(8_000_000)); p.grad = torch.ones(8_000_000)
o = optim.Adadelta([p])
o.step()
def work():
    begin.wait()
    o.step()
threading.Thread(target=work, daemon=True).start()
print("end")
"""
    assert output(program) == "end\n"
