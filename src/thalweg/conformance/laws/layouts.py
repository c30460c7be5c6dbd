"""Where parameters lie in memory: any strides step as contiguous ones, and nothing beside the parameter moves."""

from __future__ import annotations

from collections.abc import Callable

import torch

from thalweg.conformance.evidence import copies, same
from thalweg.conformance.law import expect, law, need, refused
from thalweg.conformance.subject import Subject, gradients, numbers, parameters_of_optimizer

THEME = "layouts"
STEPS = 3
Cut = Callable[[torch.Tensor], torch.Tensor]
SLICES: dict[str, Cut] = {
    "[2:6]": lambda whole: whole[2:6],
    "[:, 1:5]": lambda whole: whole[:, 1:5],
    "[::2, ::3]": lambda whole: whole[::2, ::3],
}


def compare(s: Subject, view: torch.Tensor, what: str) -> None:
    """Step a parameter that is this view beside a contiguous one with its values."""
    strange = torch.nn.Parameter(view)
    plain = torch.nn.Parameter(view.detach().clone(memory_format=torch.contiguous_format))
    strides, drawn = strange.stride(), gradients([plain], STEPS)
    s.run([strange], drawn)
    s.run([plain], drawn)
    expect(strange.stride() == strides, f"{what}: strides {strange.stride()} after", f"{strides} as before")
    s.near([strange], [plain], STEPS, f"{what}: the parameters")


@law(THEME, may_refuse=True)
def sliced_parameters(s: Subject) -> str:
    """A parameter that is a slice of a larger tensor steps as a contiguous one; the rest of the tensor stays."""
    for name, cut in SLICES.items():
        whole = numbers([(8, 9)])[0]
        rest = torch.ones_like(whole, dtype=torch.bool)
        cut(rest)[...] = False
        before = whole[rest]
        compare(s, cut(whole), name)
        same([whole[rest]], [before], f"{name}: what lies around the slice")
    return f"{', '.join(SLICES)} of (8, 9): as contiguous, the rest untouched"


@law(THEME, may_refuse=True)
def transposed_parameters(s: Subject) -> str:
    """A transposed parameter steps as a contiguous one."""
    compare(s, numbers([(5, 7)])[0].t(), "transposed")
    return f"(7, 5) with strides (1, 7), {STEPS} steps: as contiguous"


@law(THEME, may_refuse=True)
def channels_last_parameters(s: Subject) -> str:
    """A parameter in channels_last order steps as a contiguous one, whichever order its gradient has."""
    need(not s.feed.matrices, "it takes matrices only")
    image = numbers([(3, 4, 5, 2)])[0].contiguous(memory_format=torch.channels_last)
    compare(s, image.clone(), "channels_last with a contiguous gradient")
    if s.feed.sparse:
        return "channels_last: as contiguous"
    strange, plain = torch.nn.Parameter(image.clone()), torch.nn.Parameter(image.contiguous())
    drawn = gradients([plain], STEPS)
    mine, theirs = s.build([strange]), s.build([plain])
    for [g] in drawn:
        s.step(mine, [g.contiguous(memory_format=torch.channels_last)], as_they_are=True)
        s.step(theirs, [g])
    s.near([strange], [plain], STEPS, "channels_last with such a gradient: the parameters")
    return "gradients contiguous and channels_last: as contiguous"


@law(THEME)
def misaligned_parameters(s: Subject) -> str:
    """A parameter that starts at an odd address steps as any other, and its neighbors in memory stay."""
    for offset in (1, 2, 3, 5):
        whole = numbers([64])[0]
        view = whole[offset : offset + 35].view(5, 7)
        before = copies([whole[:offset], whole[offset + 35 :]])
        compare(s, view, f"{offset} elements into a tensor")
        same([whole[:offset], whole[offset + 35 :]], before, "the memory around it")
    return "1, 2, 3 and 5 elements into a tensor: as alone"


@law(THEME)
def expanded_parameters(s: Subject) -> str:
    """A parameter whose elements share memory (`expand`) is refused: it has no one value to step."""

    def run() -> torch.optim.Optimizer:
        # Cut from a tensor as large as it claims to be: what steps it as contiguous then writes nothing foreign.
        params = [torch.nn.Parameter(numbers([(4, 3)])[0][:1].expand(4, 3))]
        return s.run(params, gradients(params, 1))

    return refused(run, "a (1, 3) expanded to (4, 3)")


@law(THEME)
def overlapping_views(s: Subject) -> str:
    """Two parameters that share a part of their memory are refused: it would be stepped twice."""

    def run() -> torch.optim.Optimizer:
        whole = numbers([(8, 3)])[0]
        params = [torch.nn.Parameter(whole[:5]), torch.nn.Parameter(whole[3:])]
        return s.run(params, gradients(params, 1))

    return refused(run, "[:5] and [3:] of one tensor")


@law(THEME, may_refuse=True)
def meta_parameters(s: Subject) -> str:
    """Parameters without data (device meta) are refused clearly, or stay as they are: there is nothing to step."""
    need(not s.feed.sparse, "it takes sparse gradients")
    params = [torch.nn.Parameter(torch.empty(4, 3, device="meta"))]
    optimizer = s.build(params)
    s.step(optimizer, [torch.empty(4, 3, device="meta")], as_they_are=True)
    [p] = parameters_of_optimizer(optimizer)
    expect(p.is_meta, f"it is on {p.device} after the step", "still on meta")
    return "a step does nothing"
