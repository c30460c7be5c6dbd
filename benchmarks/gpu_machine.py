"""What the checks of `gpu.py` ask of the machine: a CUDA card, or in a dry run what comes nearest to it on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.engines.cuda import device as card
from thalweg.rules import lars


class Gpu:
    """The card that torch works on."""

    dry = False
    settings: Mapping[str, Any] = MappingProxyType({})  # 'auto' is to choose the engine
    default = "cuda"  # a default device that is not the CPU

    def __init__(self) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device())

    def described(self) -> str:
        """The card and its software, in a line."""
        major, minor = torch.cuda.get_device_capability(self.device)
        free, total = torch.cuda.mem_get_info(self.device)
        return (
            f"{torch.cuda.get_device_name(self.device)}, compute capability {major}.{minor}, {free / 2**30:.0f} of "
            f"{total / 2**30:.0f} GiB free; torch {torch.__version__}, CUDA {torch.version.cuda}"
        )

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """What makes the host wait for the device raises."""
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def capture(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """The work as a CUDA graph, which has not run yet; what runs it."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay

    @contextmanager
    def aside(self) -> Iterator[None]:
        """On another stream, after what was asked before, and before what comes after."""
        stream, now = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(now)
        with torch.cuda.stream(stream):
            yield
        now.wait_stream(stream)

    def second(self) -> torch.device | None:
        """Another device, where there is one."""
        return torch.device("cuda", 1) if torch.cuda.device_count() > 1 else None

    def huge(self) -> int:
        """A number of bfloat16 elements whose last offsets take more than 31 bits; 0 where there is no room."""
        count = 2**31 + 5000
        return count if torch.cuda.mem_get_info()[0] > 5 * count else 0


class NoWaiting(TorchDispatchMode):
    """Refuses to read a number out of a tensor."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise RuntimeError(f"{function}: the host waits for a number")
        return function(*args, **(kwargs or {}))


class DryRun(Gpu):
    """The CPU, with kernels in Triton's interpreter. It shows that the checks run, and that what they compare agrees;
    nothing of graphs, streams and memory."""

    dry = True
    settings = MappingProxyType({"engine": "cuda"})
    default = "meta"

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        mock.patch.object(card, "used_on", lambda tensors, stream: None).start()
        mock.patch.object(lars, "norm_here", lars.norm_there).start()

    def described(self) -> str:
        return f"a dry run in Triton's interpreter, on the CPU; torch {torch.__version__}"

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        with NoWaiting():
            yield

    def capture(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """The work runs at once, told that it is being captured; so the first replay is not one."""
        with (
            mock.patch.object(card, "capturing", lambda device: True),
            mock.patch.object(card, "staging", _no_pinned_memory),
        ):
            work()
        left = [1]

        def replay() -> None:
            if left:
                left.pop()
            else:
                work()

        return replay

    @contextmanager
    def aside(self) -> Iterator[None]:
        with mock.patch.object(card, "stream_of", lambda device: "aside"):
            yield

    def second(self) -> torch.device | None:
        return None

    def huge(self) -> int:
        return 5000


def _no_pinned_memory(words: int, device: torch.device) -> torch.Tensor:
    raise RuntimeError("pinned memory is asked for while a graph is captured")
