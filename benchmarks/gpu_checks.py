"""The checks of `gpu.py`, in their order: each takes the machine, raises where something is wrong, tells figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch

import thalweg.optim as optim
from gpu_machine import Gpu
from thalweg.catalogue import CATALOGUE, Entry
from thalweg.tensors.quantization import LIMIT

Tensor = torch.Tensor
Params = list[torch.nn.Parameter]
SHAPES = [(33, 17), (5,), (), (2000,)]
FEW = [(33, 17), (5,)]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def params_of(shapes: Sequence[tuple[int, ...]], device: torch.device, dtype: torch.dtype = torch.float32) -> Params:
    """The same numbers on every device."""
    generator = torch.Generator("cpu").manual_seed(0)
    made = [torch.randn(shape, generator=generator, device="cpu") for shape in shapes]
    return [torch.nn.Parameter(value.to(device, dtype)) for value in made]


def gradients_of(params: Params, steps: int) -> list[list[Tensor]]:
    """Gradients for some steps, the same on every device."""
    generator = torch.Generator("cpu").manual_seed(1)
    draw = lambda p: torch.randn(p.shape, generator=generator, device="cpu").to(p.device, p.dtype)  # noqa: E731
    return [[draw(p) for p in params] for _ in range(steps)]


def give(optimizer: Any, params: Params, values: Sequence[Tensor]) -> None:
    """A step's gradients, as the optimizer takes them: sparse, or with a graph whose second derivative is 0.7."""
    sparse = optimizer.rules[0].sparse == "only"
    for p, g in zip(params, values, strict=True):
        p.grad = g.to_sparse() if sparse and p.dim() else g.clone()
        if optimizer.second_order:
            with torch.enable_grad():
                p.grad = p.grad + 0.7 * (p - p.detach())


def run(optimizer: Any, params: Params, given: Sequence[Sequence[Tensor]]) -> None:
    """Steps with these gradients."""
    for values in given:
        give(optimizer, params, values)
        optimizer.step()


def engines_of(optimizer: Any) -> set[str]:
    """The engines of the last step."""
    return {engine.name for engine, _ in optimizer._stepper._plans}


def off(ours: Params, theirs: Params, begun: Params) -> float:
    """How far the two ended apart, as a share of the way they went; RuntimeError where either is not finite."""
    worst = torch.zeros((), dtype=torch.float64, device="cpu")
    for p, q, start in zip(ours, theirs, begun, strict=True):
        p, q, start = (each.detach().double().cpu() for each in (p, q, start))
        if not (p.isfinite().all() and q.isfinite().all()):
            raise RuntimeError("a parameter is not finite")
        way = (q - start).abs().max()
        worst = torch.maximum(worst, (p - q).abs().max() / torch.clamp(way, min=1e-12))
    return float(worst)


def need(truth: bool, what: str) -> None:
    """RuntimeError, with what was to be, where it is not: `assert` may be switched off."""
    if not truth:
        raise RuntimeError(what)


def against_reference(
    machine: Gpu, entry: Entry, dtype: torch.dtype, shapes: Any, **more: Any
) -> tuple[float, Any, Any]:
    """How far three steps of an entry end from the reference's; both optimizers."""
    ours, theirs, begun = (params_of(shapes, machine.device, dtype) for _ in range(3))
    mine = entry.build(ours, **machine.settings, **more)
    other = entry.build(theirs, engine="reference", **more)
    given = gradients_of(begun, 3)
    run(mine, ours, given)
    run(other, theirs, given)
    need(engines_of(mine) == {"cuda"}, f"{entry.name}: stepped by {engines_of(mine)}, not by the CUDA engine")
    return off(ours, theirs, begun), mine, other


def taken(entry: Entry, shapes: Any) -> Any:
    """Of these shapes those that an entry takes: Muon takes matrices only."""
    found = []
    for shape in shapes:
        with suppress(ValueError):
            entry.build([torch.nn.Parameter(torch.ones(shape))])
            found.append(shape)
    need(bool(found), f"{entry.name} takes none of the shapes {shapes}")
    return found


def one_step(machine: Gpu) -> str:
    """One Adam step against the reference"""
    share, _, _ = against_reference(machine, CATALOGUE["adam"], torch.float32, SHAPES)
    need(share < 1e-4, f"{share:.1e} of the way apart")  # three steps of 1e-3: a last bit of 1 is 4e-5 of the way
    return f"({share:.0e} of the way apart)"


def one_step_with_a_default_device(machine: Gpu) -> str:
    """The same with another default device than the CPU"""
    before = torch.get_default_device()
    torch.set_default_device(machine.default)
    try:
        return one_step(machine)
    finally:
        torch.set_default_device(before)


def every_rule(machine: Gpu) -> str:
    """Every rule, float32, against the reference"""
    worst = ("", 0.0)
    for entry in CATALOGUE.values():
        few = entry.rule is None or entry.rule.sparse == "only" or machine.dry
        share, _, _ = against_reference(machine, entry, torch.float32, taken(entry, FEW if few else SHAPES))
        need(share < 1e-3, f"{entry.name}: {share:.1e} of the way apart")
        worst = max(worst, (entry.name, share), key=lambda pair: pair[1])
    return f"(at worst {worst[1]:.0e} of the way apart: {worst[0]})"


def every_rule_in_half(name: str) -> Callable[[Gpu], str]:
    """The check of a 16-bit dtype: what differs in a float32's last bit may be rounded to either neighbor."""
    dtype = HALVES[name]

    def check(machine: Gpu) -> str:
        apart = total = 0
        for entry in CATALOGUE.values():
            if entry.rule is not None and entry.rule.sparse == "only":
                continue
            _, mine, other = against_reference(machine, entry, dtype, taken(entry, FEW))
            for p, q in zip(mine.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
                differs = p.detach() != q.detach()
                gap = (p.detach().double() - q.detach().double()).abs()
                most = 4 * torch.finfo(dtype).eps * torch.clamp(q.detach().double().abs(), min=2.0**-6)
                need(bool((gap <= most).all()), f"{entry.name}: off by more than a few last bits")
                apart, total = apart + int(differs.sum()), total + p.numel()
        need(apart <= total / 100, f"{apart} of {total} elements differ")
        return f"({apart} of {total} elements differ, by a last bit)"

    check.__doc__ = f"Every rule, {name}, against the reference"
    return check


def every_rule_with_int8_state(machine: Gpu) -> str:
    """Every rule that has moments, int8 state, against the reference"""
    apart = total = 0
    shapes = [(LIMIT + 300,)] if machine.dry else [(LIMIT + 300,), (300, 70), (5,)]
    for entry in CATALOGUE.values():
        if entry.rule is None or not entry.rule.moments or (machine.dry and entry.name not in DRY):
            continue
        share, mine, other = against_reference(machine, entry, torch.float32, shapes, state_dtype="int8")
        need(share < 0.05, f"{entry.name}: {share:.1e} of the way apart")
        for own, theirs in zip(mine.state.values(), other.state.values(), strict=True):
            for name, held in theirs.items():
                if held.dtype == torch.uint8:
                    apart, total = apart + int((own[name] != held).sum()), total + held.numel()
    need(total > 0 and apart <= total * 3e-4, f"{apart} of {total} codes differ")
    return f"({apart} of {total} codes differ)"


DRY = ("momentum", "adam", "ademamix")  # the interpreter takes a second a rule


def no_waiting(machine: Gpu) -> str:
    """Steps in which the host waits for nothing"""
    ways: list[tuple[Any, dict[str, Any]]] = [
        (optim.AdamW, more)
        for more in ({}, {"capturable": True}, {"fused": True}, {"state_dtype": "int8"}, {"clip_norm": 1.0})
    ]
    for cls, more in [*ways, (optim.LAMB, {}), (optim.LARS, {})]:
        params = params_of([*SHAPES, (LIMIT + 300,)], machine.device)
        optimizer = cls(params, **machine.settings, **more)
        run(optimizer, params, gradients_of(params, 2))
        with machine.without_waiting():
            for _ in range(2):
                optimizer.step()
                optimizer.param_groups[0]["lr"] *= 0.5
    return ""


def two_graphs(machine: Gpu) -> str:
    """Two CUDA graphs, the second captured with no step between, replayed in turns and with steps outside"""
    ours, theirs, begun = (params_of(SHAPES, machine.device) for _ in range(3))
    given = gradients_of(begun, 9)
    mine: Any = optim.Adam(ours, lr=0.01, capturable=True, **machine.settings)
    other: Any = optim.Adam(theirs, lr=0.01, engine="reference")
    with machine.aside():  # the warm-up that torch's documentation asks for
        run(mine, ours, given[:1])
    static = [[g.clone() for g in given[0]] for _ in range(2)]

    def work(place: int) -> Callable[[], None]:
        def step() -> None:
            for p, g in zip(ours, static[place], strict=True):
                p.grad = g * 1.0  # in the graph's own memory
            mine.step()

        return step

    def filled(place: int, values: Sequence[Tensor]) -> None:
        for g, value in zip(static[place], values, strict=True):
            g.copy_(value)

    for place in range(2):
        filled(place, given[1 + place])
    replays = [machine.capture(work(place)) for place in range(2)]
    for index, values in enumerate(given[1:]):
        if index < 6:
            filled(index % 2, values)
            replays[index % 2]()
        else:
            run(mine, ours, [values])
    run(other, theirs, given)
    share = off(ours, theirs, begun)
    need(share < 1e-4, f"{share:.1e} of the way apart")
    return f"({share:.0e} of the way apart)"


def another_stream(machine: Gpu) -> str:
    """Steps on another stream, every other one"""
    ours, theirs = (params_of([(5000,)], machine.device) for _ in range(2))
    given = gradients_of(ours, 6)
    mine: Any = optim.Adam(ours, **machine.settings)
    run(optim.Adam(theirs, **machine.settings), theirs, given)
    for index, values in enumerate(given):
        if index % 2:
            with machine.aside():
                run(mine, ours, [values])
        else:
            run(mine, ours, [values])
    need(torch.equal(ours[0], theirs[0]), "the steps differ")
    return ""


def another_device(machine: Gpu) -> str:
    """Parameters on two devices in one optimizer"""
    second = machine.second()
    if second is None:
        return "(left out: there is one device)"
    outcomes = []
    for devices in ((machine.device, second), (machine.device, machine.device)):
        both = [params_of([(50,)], device)[0] for device in devices]
        run(optim.Adam(both), both, [[g.to(p.device) for p, g in zip(both, gradients_of(both, 1)[0], strict=True)]] * 3)
        outcomes.append([p.detach().cpu() for p in both])
    need(all(map(torch.equal, *outcomes)), "the steps differ")
    return ""


def many_elements(machine: Gpu) -> str:
    """More than 2^31 elements in a tensor"""
    count = machine.huge()
    if not count:
        return "(left out: it takes 11 GB of free memory)"
    p = torch.nn.Parameter(torch.zeros(count, dtype=torch.bfloat16, device=machine.device))
    p.grad = torch.ones_like(p)
    optim.SGD([p], lr=0.5, rounding="nearest", **machine.settings).step()
    low, high = p.detach().aminmax()
    need(low.item() == high.item() == -0.5, f"between {low.item()} and {high.item()}, not -0.5")
    return f"({count:,} elements)"


CHECKS: tuple[Callable[[Gpu], str], ...] = (
    one_step,
    one_step_with_a_default_device,
    every_rule,
    every_rule_in_half("bf16"),
    every_rule_in_half("fp16"),
    every_rule_with_int8_state,
    no_waiting,
    two_graphs,
    another_stream,
    another_device,
    many_elements,
)
