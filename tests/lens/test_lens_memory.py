"""What is read by addresses is what torch reads; where there is no such memory, torch reads."""

import pytest
import torch

from thalweg.lens import memory
from thalweg.lens.sample import Sample

SHAPES = [(3, 4), (), (0, 2), (70, 90), (5,)]


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def by_torch(monkeypatch, work):
    with monkeypatch.context() as patch:
        patch.setattr(memory, "addresses", lambda *given: None)
        return work()


@pytest.mark.parametrize("most", [10**6, 400])
def test_the_same_numbers_as_by_torch(tensors, most, monkeypatch):
    sample, which = Sample(tensors, most), [0, 1, 3, 4]
    chosen = [tensors[i] for i in which]
    assert memory.addresses(chosen, sample._grid(which).least) is not None
    assert torch.equal(sample.of(chosen, which), by_torch(monkeypatch, lambda: sample.of(chosen, which)))
    squares = sample.squares(tensors, range(5))
    assert torch.allclose(squares, torch.stack([t.double().square().sum() for t in tensors]), rtol=1e-12)
    assert torch.allclose(squares, by_torch(monkeypatch, lambda: sample.squares(tensors, range(5))), rtol=1e-5)
    values = [sample.of(tensors, range(5)), torch.ones(sum(sample.counts))]
    wanted = [[part.double().sum() for part in value.split(sample.counts)] for value in values]
    assert torch.allclose(sample.sums(values, range(5)), torch.tensor(wanted).double())


def test_what_has_no_such_memory_is_left_to_torch(tensors):
    freed = torch.ones(4)
    freed.untyped_storage().resize_(0)
    others = [torch.ones(4).double(), torch.ones(8)[::2], torch.ones(4, device="meta"), torch.ones(3), freed, None]
    for other in others:
        assert memory.addresses([tensors[0], other], [12, 4]) is None
    assert memory.addresses([tensors[2], freed], [0, 4]) is None
    assert memory.addresses([tensors[0], torch.ones(4)], [12, 4]) is not None


def test_a_parameter_that_has_become_smaller_is_not_read_beyond_its_end(tensors):
    sample = Sample(tensors)
    tensors[3].data = torch.ones(2, 2)
    assert memory.addresses(tensors, sample._grid(range(5)).least) is None
