"""What torch's database says must raise, raises: the same kind of error, in torch's words."""

import re
import warnings

import pytest
import torch
from configurations import DEFAULTS, Configuration, laws, optim_db
from torch.testing._internal.common_optimizers import OptimizerErrorEnum

import thalweg.optim as optim

TENSOR = "a tensor setting with foreach=True"
# The key of EXCLUSIONS for error inputs that are none here.
ACCEPTED = {
    "lr as Tensor doesn't work with foreach & not capturable": TENSOR,
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True": TENSOR,
    "betas must be either both floats or both Tensors": "betas of both kinds",
    "complex not supported": "SparseAdam of complex parameters",
}


ONCE = [each for each in DEFAULTS if each.engine != "cpu"]  # nothing here comes as far as an engine


def errors():
    for configuration in ONCE:
        for each in configuration.info.optim_error_inputs_func("cpu", torch.float64):
            if each.optimizer_error_input.desc not in ACCEPTED:
                yield pytest.param(configuration, each, id=f"{configuration}-{each.optimizer_error_input.desc}")


@pytest.mark.parametrize(("configuration", "error"), list(errors()))
def test_errors_are_torchs(configuration, error):
    given = error.optimizer_error_input

    def construct():
        return configuration.build(given.params, **given.kwargs)

    if error.error_on is OptimizerErrorEnum.STEP_ERROR:
        optimizer = construct()
        with pytest.raises(error.error_type, match=error.error_regex):
            optimizer.step()
    elif issubclass(error.error_type, Warning):
        with pytest.warns(error.error_type, match=error.error_regex):
            construct()
    else:
        with pytest.raises(error.error_type, match=error.error_regex):
            construct()


def outcome(build):
    """The kind of error, and its words without what is particular to a class."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            build()
        except Exception as error:
            return type(error), re.sub(r"0x\w+", "", str(error))
    return None


def leaf():
    return torch.nn.Parameter(torch.ones(2, 2))


SHARED = leaf()
BAD_PARAMS = {
    "nothing": lambda: [],
    "an exhausted generator": lambda: iter(()),
    "a tensor": leaf,
    "no tensor": lambda: [1.0],
    "None inside": lambda: [leaf(), None],
    "not a leaf": lambda: [leaf() * 2],
    "twice in a list": lambda: [SHARED, SHARED],
    "in two groups": lambda: [{"params": [SHARED]}, {"params": [SHARED]}],
    "a set in a group": lambda: [{"params": {SHARED}}],
    "no params in a group": lambda: [{"lr": 0.1}],
    "a group that is no dict": lambda: [{"params": [SHARED]}, [leaf()]],
    "some with names": lambda: [("a", SHARED), leaf()],
    "names twice": lambda: [("a", SHARED), ("a", leaf())],
    "an empty group": lambda: [{"params": []}],
}
TAKEN = ("names twice", "an empty group")


@pytest.mark.parametrize("what", BAD_PARAMS)
@laws(ONCE)
def test_parameters_are_judged_as_torch_does(configuration, what):
    ours = outcome(lambda: configuration.build(BAD_PARAMS[what]()))
    theirs = outcome(lambda: configuration.build_torch(BAD_PARAMS[what]()))
    assert ours == theirs
    assert (theirs is None) == (what in TAKEN)


@laws(ONCE)
def test_a_group_added_later_is_judged_as_torch_does(configuration):
    p = leaf()
    for group in ({"params": p}, {"params": [leaf(), p]}, {"params": {leaf()}}, {"params": [leaf() * 2]}, {}, [leaf()]):
        ours, theirs = configuration.build([p]), configuration.build_torch([p])
        mine, torchs = (outcome(lambda each=each, group=group: each.add_param_group(group)) for each in (ours, theirs))
        assert mine == torchs and torchs is not None
        assert len(ours.param_groups) == len(theirs.param_groups) == 1


@laws(ONCE)
def test_switches_that_exclude_each_other_are_refused_as_in_torch(configuration: Configuration):
    def build(cls, **switches):
        return outcome(lambda: cls([leaf()], **switches))

    pairs = [{"foreach": True, "fused": True}, {"fused": True, "differentiable": True}]
    for pair in pairs:
        ours = build(getattr(optim, configuration.info.name), **pair)
        assert ours is not None and ours[0] is RuntimeError
        if "fused" in configuration.info.supported_impls:
            assert ours == build(configuration.info.optim_cls, **pair)


def test_the_database_is_all_of_torch():
    """A class that torch comes to have is asked for here, too."""
    names = {
        name
        for name, each in vars(torch.optim).items()
        if isinstance(each, type) and issubclass(each, torch.optim.Optimizer) and each is not torch.optim.Optimizer
    }
    assert {info.name for info in optim_db} == names and all(hasattr(optim, name) for name in names)
