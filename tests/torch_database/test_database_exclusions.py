"""Every departure from torch's tests is a real one: torch does the one thing, and we another, that is right as well."""

import pytest
import torch
from configurations import CONFIGURATIONS, DEFAULTS, EXCLUSIONS, gradients, laws, parameters, run, same, states
from test_database_errors import ACCEPTED

ADAMS = [each for each in DEFAULTS if each.info.name in ("Adam", "AdamW")]


def half(value):
    return torch.tensor(value, dtype=torch.float64)


def test_the_list_is_short_and_all_of_it_is_shown_here():
    assert len(EXCLUSIONS) <= 5 and set(ACCEPTED.values()) <= EXCLUSIONS.keys()
    shown = " ".join(each.__doc__ for name, each in globals().items() if name.startswith("test_") and each.__doc__)
    assert [name for name in EXCLUSIONS if name not in shown] == []


def assert_torch_refuses_what_is_float_settings_here(configuration, settings, floats, match):
    params = parameters(configuration)
    with pytest.raises(ValueError, match=match):
        configuration.info.optim_cls(params, **settings)
    others = parameters(configuration)
    for each, given in ((params, settings), (others, floats)):
        run(configuration, configuration.build(each, **given), gradients(each, 3))
    assert same(params, others)


@pytest.mark.parametrize("name", ["lr", "betas"])
@laws(ADAMS)
def test_tensors_with_foreach(configuration, name):
    """a tensor setting with foreach=True"""
    settings = {"lr": half(0.01)} if name == "lr" else {"betas": (half(0.5), half(0.75))}
    floats = {"lr": 0.01} if name == "lr" else {"betas": (0.5, 0.75)}
    more = {"foreach": True}
    match = "as a Tensor is not supported for capturable=False and foreach=True"
    assert_torch_refuses_what_is_float_settings_here(configuration, settings | more, floats, match)


@laws(ADAMS)
def test_mixed_betas(configuration):
    """betas of both kinds"""
    for betas in ((half(0.5), 0.75), (0.5, half(0.75))):
        match = "betas must be either both floats or both Tensors"
        floats = {"betas": (0.5, 0.75)}
        assert_torch_refuses_what_is_float_settings_here(configuration, {"betas": betas}, floats, match)


@laws([each for each in CONFIGURATIONS if each.info.name == "SparseAdam"])
def test_complex_numbers(configuration):
    """SparseAdam of complex parameters"""
    z = torch.nn.Parameter(torch.ones(4, 3, dtype=torch.complex128))
    with pytest.raises(ValueError, match="SparseAdam does not support complex parameters"):
        torch.optim.SparseAdam([z])
    pair = torch.nn.Parameter(torch.view_as_real(z.detach()).clone())
    optimizers = [(z, configuration.build([z])), (pair, configuration.build([pair]))]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        values = torch.randn(2, 3, generator=generator, dtype=torch.complex128)
        for p, optimizer in optimizers:
            given = values if p is z else torch.view_as_real(values)
            p.grad = torch.sparse_coo_tensor([[0, 2]], given, p.shape, check_invariants=True)
            optimizer.step()
    assert torch.equal(torch.view_as_real(z.detach()), pair.detach())


@laws([each for each in DEFAULTS if each.info.name == "Adafactor"])
def test_no_elements(configuration):
    """Adafactor of parameters without elements"""
    for build in (configuration.build, configuration.build_torch):
        p = torch.nn.Parameter(torch.ones(0, 4, dtype=torch.float64))
        optimizer = build([p])
        p.grad = torch.ones_like(p)
        if build == configuration.build_torch:
            with pytest.raises(ZeroDivisionError):
                optimizer.step()
        else:
            optimizer.step()
            assert optimizer.state[p]["row_var"].shape == (0, 1)


@laws(DEFAULTS)
def test_names_count(configuration):
    """names when a checkpoint is loaded"""

    def build(make, names):
        params = [torch.nn.Parameter(torch.ones(2)) for _ in names]
        return params, make(list(zip(names, params, strict=True)))

    def load(make, names):
        _, saved = build(make, ("a", "b"))
        given = [[torch.full((2,), 1.0), torch.full((2,), 2.0)]]
        run(configuration, saved, given)
        loaded = build(make, names)[1]
        loaded.load_state_dict(saved.state_dict())
        return states(saved), states(loaded)

    def alike(one, other):
        return all(torch.equal(one[name], other[name]) for name in one if isinstance(one[name], torch.Tensor))

    saved, loaded = load(configuration.build_torch, ("b", "a"))
    assert alike(saved[0], loaded[0]) and alike(saved[1], loaded[1])
    saved, loaded = load(configuration.build, ("b", "a"))
    assert alike(saved[0], loaded[1]) and alike(saved[1], loaded[0])
    load(configuration.build_torch, ("b", "c"))
    with pytest.raises(ValueError, match="of other parameters: it lacks c, and has a"):
        load(configuration.build, ("b", "c"))
