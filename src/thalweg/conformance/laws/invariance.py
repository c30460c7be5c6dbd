"""What must make no difference: where a tensor is cut, how parameters are grouped and ordered, which sign is up."""

from __future__ import annotations

import torch

from thalweg.conformance.evidence import same
from thalweg.conformance.law import expect, law, need
from thalweg.conformance.subject import Subject, gradients, numbers

THEME = "invariance"
LONG = 1031  # a prime: no vector width divides it
SIZES = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 1023)
ALL_ELEMENTS = "an element's step depends on its whole tensor"
ALL_TOGETHER = "its steps depend on all parameters together"


@law(THEME)
def odd_sizes(s: Subject) -> str:
    """Tensors of odd sizes step as the first elements of a longer one."""
    need(not s.couples_elements, ALL_ELEMENTS)
    values, drawn = numbers([LONG])[0], [numbers([LONG], 50 + step)[0] for step in range(3)]
    whole = torch.nn.Parameter(values.view(s.vector(LONG)).clone())
    s.run([whole], [[g.view_as(whole)] for g in drawn])
    for size in SIZES:
        part = torch.nn.Parameter(values[:size].view(s.vector(size)).clone())
        s.run([part], [[g[:size].view_as(part)] for g in drawn])
        s.near([part.flatten()], [whole.flatten()[:size]], 3, f"{size} elements")
    return f"{', '.join(map(str, SIZES))} elements: as in {LONG}"


@law(THEME)
def a_split_tensor(s: Subject) -> str:
    """A tensor cut in two parameters steps as in one piece."""
    need(not (s.couples_elements or s.couples_parameters), ALL_ELEMENTS)
    values, drawn = numbers([LONG])[0], [numbers([LONG], 50 + step)[0] for step in range(4)]
    whole = torch.nn.Parameter(values.view(s.vector(LONG)).clone())
    s.run([whole], [[g.view_as(whole)] for g in drawn])
    cut = 334
    parts = [torch.nn.Parameter(v.view(s.vector(v.numel())).clone()) for v in (values[:cut], values[cut:])]
    s.run(parts, [[g[:cut].view_as(parts[0]), g[cut:].view_as(parts[1])] for g in drawn])
    s.near([torch.cat([p.flatten() for p in parts])], [whole.flatten()], 4)
    return f"{LONG} elements cut at {cut}, 4 steps: the same to rounding"


@law(THEME, modes=True, may_refuse=True)
def split_groups(s: Subject) -> str:
    """Parameters in two groups with the same settings step as in one."""
    need(not s.couples_parameters, ALL_TOGETHER)
    together, apart = s.params(), s.params()
    drawn = gradients(together, 4)
    s.run(together, drawn)
    optimizer = s.build([{"params": [p]} for p in apart])
    for each in drawn:
        s.step(optimizer, each)
    same(apart, together)
    return "2 groups, 4 steps: the same bits"


@law(THEME)
def order_of_parameters(s: Subject) -> str:
    """The order in which parameters are given makes no difference."""
    need(not s.couples_parameters, ALL_TOGETHER)
    forth, back = s.params(), s.params()
    drawn = gradients(forth, 4)
    s.run(forth, drawn)
    s.run(back[::-1], [each[::-1] for each in drawn])
    same(back, forth)
    return "4 steps: the same bits"


@law(THEME)
def alone_or_among_many(s: Subject) -> str:
    """A parameter steps the same alone as among a hundred others."""
    need(not s.couples_parameters, ALL_TOGETHER)
    many = s.params(*[1 + place % 13 for place in range(101)])
    drawn = gradients(many, 3)
    alone = [torch.nn.Parameter(many[57].detach().clone())]
    s.run(many, drawn)
    s.run(alone, [[each[57]] for each in drawn])
    same(alone, [many[57]], "the parameter alone")
    return "3 steps: the same bits"


@law(THEME)
def zero_length(s: Subject) -> str:
    """Parameters without elements are taken, and leave the others' steps as they are."""
    params, plain = s.params(), s.params()
    drawn = gradients(plain, 3)
    empty = [torch.nn.Parameter(torch.empty(shape, device="cpu")) for shape in s.shapes(0, (0, 3), (3, 0))]
    s.run(plain, drawn)
    nothing = [e.detach() for e in empty]
    s.run([empty[0], *params, *empty[1:]], [[nothing[0], *each, *nothing[1:]] for each in drawn])
    same(params, plain)
    return f"{', '.join(str(tuple(e.shape)) for e in empty)} beside others: the same bits"


@law(THEME, may_refuse=True)
def zero_dimensions(s: Subject) -> str:
    """A parameter of no dimensions steps as one of a single element."""
    need(not s.feed.sparse, "it takes sparse gradients, which have a dimension")
    scalar = [torch.nn.Parameter(torch.tensor(0.7, device="cpu"))]
    vector = [torch.nn.Parameter(torch.tensor([0.7], device="cpu"))]
    drawn = [torch.tensor([value], device="cpu") for value in (1.0, -0.3, 2.0)]
    s.run(scalar, [[g[0]] for g in drawn])
    s.run(vector, [[g] for g in drawn])
    expect(scalar[0].dim() == 0, f"shape {tuple(scalar[0].shape)}", "()")
    s.near(scalar, [vector[0][0]], 3)
    return "3 steps: as one element"


@law(THEME)
def maximize(s: Subject) -> str:
    """maximize=True steps as negated gradients do."""
    need(s.has("maximize"), "it has no maximize")
    up, down = s.params(), s.params()
    drawn = gradients(up, 4)
    s.run(up, drawn, maximize=True)
    s.run(down, [[-g for g in each] for each in drawn], maximize=False)
    same(up, down)
    return "4 steps: the same bits"
