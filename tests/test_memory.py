"""Where parameters lie in memory: gaps are stepped around, overlaps refused."""

import pytest
import torch

import thalweg.optim as optim


def columns():
    whole = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    return whole, [torch.nn.Parameter(whole[:, :3]), torch.nn.Parameter(whole[:, 3:])]


def with_gradients(params):
    for p in params:
        p.grad = torch.ones(p.shape)
    return params


def test_views_that_interlock_without_overlap_are_stepped_each():
    whole, params = columns()
    before = whole.clone()
    optim.SGD(with_gradients(params), lr=0.5).step()
    assert torch.equal(whole, before - 0.5)


def test_the_rest_of_a_sliced_tensor_stays():
    """torch's fused CPU classes write over it."""
    whole = torch.zeros(8, 8)
    [p] = with_gradients([torch.nn.Parameter(whole[2:5, 1:4])])
    optim.Adam([p]).step()
    assert (p != 0).all() and int((whole != 0).sum()) == 9


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (lambda w: [w[:6], w[4:]], r"parameters 0 and 1, of shapes \(6,\) and \(6,\), share memory"),
        (lambda w: [w[:3], w[5:], w[:]], "parameters 0 and 2"),
        (lambda w: [w[::2], w[::3]], "parameters 0 and 1"),
        (lambda w: [w, w.view(2, 5)], "parameters 0 and 1"),
        (lambda w: [w[:1].expand(4)], "parameter 0 of shape .* overlaps itself"),
        (lambda w: [w.as_strided((4, 4), (1, 2))], "parameter 0 of shape .* overlaps itself"),
    ],
)
def test_memory_that_would_be_written_twice_is_refused(params, message):
    tensor = torch.zeros(10)
    optimizer = optim.SGD(with_gradients([torch.nn.Parameter(view) for view in params(tensor)]))
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert torch.equal(tensor, torch.zeros(10))


def test_a_view_that_comes_to_overlap_later_is_seen():
    a, b = with_gradients([torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.zeros(4))])
    optimizer = optim.Adam([a, b])
    optimizer.step()
    b.data = a.data
    with pytest.raises(ValueError, match="share memory"):
        optimizer.step()


@pytest.mark.parametrize(
    "frozen",
    [
        lambda stepped: torch.nn.Parameter(torch.zeros(1).expand(4)),
        lambda stepped: torch.nn.Parameter(stepped.data),
    ],
    ids=["expanded", "tied"],
)
def test_a_parameter_without_a_gradient_may_lie_as_it_likes(frozen):
    """Nothing writes to it; as soon as it has a gradient, it is asked."""
    [p] = with_gradients([torch.nn.Parameter(torch.zeros(4))])
    other = frozen(p)
    optimizer = optim.SGD([p, other], lr=1.0)
    optimizer.step()
    assert torch.equal(p, -torch.ones(4))
    other.grad = torch.ones(4)
    with pytest.raises(ValueError, match="overlaps itself|share memory"):
        optimizer.step()
    assert torch.equal(p, -torch.ones(4))
