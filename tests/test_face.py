"""The torch face: what a training script relies on, and the errors that a slip gets."""

import functools
import gc
import inspect
import math
import weakref

import pytest
import torch
from subjects import ELEMENTWISE, gradients, parameters, run

import thalweg.optim as optim
from thalweg.catalogue import CATALOGUE, Entry

CLASSES = {entry.optimizer.__name__: entry.optimizer for entry in CATALOGUE.values() if entry.takes_all}
IN_TORCH = [name for name in CLASSES if hasattr(torch.optim, name)]


def model_and_loss():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x = torch.randn(32, 5)
    y = x.sum(1, keepdim=True)
    return model, lambda: torch.nn.functional.mse_loss(model(x), y)


@pytest.mark.parametrize("name", IN_TORCH)
def test_the_constructor_is_torchs(name):
    """Same arguments by place, same defaults by name."""
    ours = inspect.signature(CLASSES[name]).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    by_place = [each for each, it in theirs.items() if it.kind is it.POSITIONAL_OR_KEYWORD]
    assert [each for each, it in ours.items() if it.kind is it.POSITIONAL_OR_KEYWORD] == by_place
    for each, parameter in theirs.items():
        if each != "params":
            assert ours[each].default == parameter.default, each


@pytest.mark.parametrize(
    "name", {each.optimizer.__name__: 0 for each in CATALOGUE.values() if each.takes_dense and each.takes_all}
)
def test_training_with_closure_scheduler_and_groups(name):
    model, loss_of = model_and_loss()
    rate = {"Adadelta": 5.0, "LARS": 10.0, "Prodigy": 1.0}.get(name, 0.01)
    groups = [{"params": model[0].parameters(), "lr": 2 * rate}, {"params": model[2].parameters()}]
    optimizer = CLASSES[name](groups, lr=rate)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.9)

    def closure():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward(create_graph=optimizer.second_order)
        return loss

    first = optimizer.step(closure)
    for _ in range(100):
        last = optimizer.step(closure)
        scheduler.step()
    assert isinstance(optimizer, torch.optim.Optimizer)
    assert last.item() < 0.9 * first.item()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([2 * rate * 0.9**20, rate * 0.9**20])


SCHEDULERS = {
    "StepLR": {"step_size": 2},
    "MultiStepLR": {"milestones": [2, 4]},
    "ConstantLR": {},
    "LinearLR": {},
    "ExponentialLR": {"gamma": 0.8},
    "PolynomialLR": {},
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 3},
    "LambdaLR": {"lr_lambda": lambda epoch: 0.7**epoch},
    "MultiplicativeLR": {"lr_lambda": lambda epoch: 0.7},
    "CyclicLR": {"base_lr": 1e-3, "max_lr": 1e-1},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 20},
    "ReduceLROnPlateau": {"patience": 0},
}


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_drives_ours_as_it_drives_torchs(scheduler, name):
    """OneCycleLR and CyclicLR write the momentum, and the betas, too."""
    outcome = []
    for module in (optim, torch.optim):
        [p] = parameters([(6,)], torch.float32)
        settings = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(module, name)([p], lr=0.05, **settings)
        schedule = getattr(optim.lr_scheduler, scheduler)(optimizer, **SCHEDULERS[scheduler])
        for step, (g,) in enumerate(gradients([(6,)], 12, torch.float32)):
            p.grad = g
            optimizer.step()
            schedule.step(*([1.0 + step] if scheduler == "ReduceLROnPlateau" else []))
        outcome.append(
            (p.detach(), {key: value for key, value in optimizer.param_groups[0].items() if key in ("lr", "betas")})
        )
    (ours, settings), (theirs, expected) = outcome
    assert settings == expected
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_hooks_run_in_torchs_order():
    told = []
    [p] = parameters([(2,)], torch.float32)
    optimizer = optim.SGD([p], lr=1.0)
    before = p.detach().clone()
    p.grad = torch.ones(2)
    handles = [
        optimizer.register_step_pre_hook(lambda opt, args, kwargs: told.append(("pre", torch.equal(p, before)))),
        optimizer.register_step_post_hook(lambda opt, args, kwargs: told.append(("post", torch.equal(p, before - 1)))),
    ]
    optimizer.step()
    assert told == [("pre", True), ("post", True)]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(told) == 2


def forwarded(method):
    """A decorator of the user's own: it takes over the mark that torch leaves on methods it need not wrap."""

    @functools.wraps(method)
    def call(self, *given):
        return method(self, *given)

    return call


@pytest.mark.parametrize("kind", ["derived", "mixed in", "twice", "decorated", "plain"])
@pytest.mark.parametrize("parent", [optim.SGD, optim.ScheduleFreeSGD])
def test_hooks_run_once_where_a_class_of_ones_own_steps(parent, kind):
    """torch wraps a step of one's own for hooks; the step that it calls up to must not run them again."""

    class Derived(parent):
        def step(self, closure=None):
            loss = super().step(closure)
            return super().step() if kind == "twice" else loss

    class Mixin:
        def step(self, closure=None):
            return super().step(closure)

    class Mixed(Mixin, parent):
        pass

    class Decorated(parent):
        step = forwarded(parent.step)

    p, told = torch.nn.Parameter(torch.ones(2)), []
    made = {"derived": Derived, "twice": Derived, "mixed in": Mixed, "decorated": Decorated, "plain": parent}[kind]
    optimizer = made([p], lr=0.5)
    optimizer.register_step_pre_hook(lambda *_: told.append("pre"))
    optimizer.register_step_post_hook(lambda *_: told.append("post"))
    p.grad = torch.ones(2)
    with torch.autograd.profiler.profile() as profile:
        optimizer.step()
    ranges = [event.name for event in profile.function_events if event.name.startswith("Optimizer.step#")]
    assert told == ["pre", "post"] and ranges == [f"Optimizer.step#{made.__name__}.step"]
    steps = 2 if kind == "twice" else 1
    assert p.tolist() == [1 - 0.5 * steps] * 2 if parent is not optim.ScheduleFreeSGD else (p < 1).all()


def test_the_profiler_sees_the_step():
    [p] = parameters([(2,)], torch.float32)
    p.grad = torch.ones(2)
    optimizer = optim.Adam([p])
    with torch.profiler.profile() as profile:
        optimizer.step()
    assert any("Optimizer.step#Adam.step" in event.key for event in profile.key_averages())


def test_a_tensor_rate_is_read_each_step_and_never_kept():
    a, b = parameters([(4,)], torch.float32), parameters([(4,)], torch.float32)
    rate = torch.tensor(0.1)
    mine, other = optim.Adam(a, lr=rate), optim.Adam(b, lr=0.1)
    given = gradients([(4,)], 6, torch.float32)
    run(mine, given[:3])
    run(other, given[:3])
    rate.fill_(0.01)
    other.param_groups[0]["lr"] = 0.01
    run(mine, given[3:])
    run(other, given[3:])
    assert torch.allclose(a[0], b[0], rtol=1e-6)


def test_groups_that_were_given_one_tensor_rate_go_their_own_ways():
    """torch's share it: a schedule of one group's is the other's, too."""
    a, b = parameters([(4,), (4,)], torch.float32)
    rate = torch.tensor(2.0**-7)
    optimizer = optim.Adam([{"params": [a]}, {"params": [b]}], lr=rate)
    optim.lr_scheduler.LambdaLR(optimizer, [lambda _: 1.0, lambda _: 0.25])
    assert [group["lr"].item() for group in optimizer.param_groups] == [2.0**-7, 2.0**-9]
    assert optimizer.param_groups[0]["lr"] is rate


def test_groups_of_different_age_rate_and_rule_share_one_optimizer():
    """Added late, thawed late, momentum in one group only: each parameter goes its own way."""
    shapes = [(5,), (4,), (3,)]
    given = gradients(shapes, 8, torch.float32)
    a, b, c = parameters(shapes, torch.float32)
    optimizer = optim.SGD([{"params": [a], "momentum": 0.9}, {"params": [b], "weight_decay": 0.1}], lr=0.1)
    for step, (ga, gb, gc_) in enumerate(given):
        if step == 3:
            optimizer.add_param_group({"params": [c], "momentum": 0.5, "dampening": 0.5, "lr": 0.2})
        a.grad, b.grad = ga, gb
        c.grad = gc_ if step >= 3 else None
        optimizer.step()
    x, y, z = parameters(shapes, torch.float32)
    run(torch.optim.SGD([x], lr=0.1, momentum=0.9), [[g[0]] for g in given])
    run(torch.optim.SGD([y], lr=0.1, weight_decay=0.1), [[g[1]] for g in given])
    run(torch.optim.SGD([z], lr=0.2, momentum=0.5, dampening=0.5), [[g[2]] for g in given[3:]])
    for ours, theirs in ((a, x), (b, y), (c, z)):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("subject", ELEMENTWISE, ids=str)
def test_splitting_a_group_or_a_tensor_changes_nothing(subject):
    [whole] = parameters([(64,)], torch.float32)
    given = gradients([(64,)], 10, torch.float32)
    parts = [torch.nn.Parameter(part.clone()) for part in whole.detach().split([10, 31, 23])]
    run(subject.build([whole]), given)
    split = subject.build([{"params": parts[:1]}, {"params": parts[1:]}])
    run(split, [list(g.split([10, 31, 23])) for (g,) in given])
    assert torch.equal(torch.cat([p.detach() for p in parts]), whole)


def test_storage_may_move_between_steps():
    """`.data =`, a gradient in another layout, a state that the user replaced, a step count that the user wrote."""
    a, b = parameters([(6, 4)], torch.float32), parameters([(6, 4)], torch.float32)
    mine, other = optim.Adam(a), torch.optim.Adam(b)
    given = gradients([(6, 4)], 6, torch.float32)
    for step, (g,) in enumerate(given):
        a[0].grad, b[0].grad = g.clone(), g.clone()
        if step == 1:
            a[0].data = a[0].data.clone()
        if step == 2:
            a[0].grad = g.t().contiguous().t()
        if step == 3:
            mine.state[a[0]]["exp_avg"] = mine.state[a[0]]["exp_avg"].clone() * 2
            other.state[b[0]]["exp_avg"].mul_(2)
        if step == 4:
            mine.state[a[0]]["step"].fill_(50.0)
            other.state[b[0]]["step"].fill_(50.0)
        mine.step()
        other.step()
        assert torch.allclose(a[0], b[0], rtol=1e-5, atol=1e-6), step
    assert mine.state[a[0]]["step"] == 52


def test_one_launch_serves_all_groups_and_ages():
    """Groups of their own rates and parameters of different ages are rows of one launch; another dtype, or a switch
    that adds a line, is another kernel."""
    shapes = [(5,), (4,), (3,), (2,)]
    ours = [*parameters(shapes[:3], torch.float32), *parameters(shapes[3:], torch.float64)]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    optimizers = [
        module.Adam([{"params": own[:1], "lr": 0.1}, {"params": own[1:], "betas": (0.5, 0.9)}], lr=0.01)
        for module, own in ((optim, ours), (torch.optim, theirs))
    ]
    for step in range(6):
        for optimizer, params in zip(optimizers, (ours, theirs), strict=True):
            for index, p in enumerate(params):
                p.grad = None if index == 2 and step < 2 else torch.full_like(p, 0.5 + step)
            optimizer.step()
    plans = [plan for _, plan in optimizers[0]._stepper._plans]
    assert sorted((len(plan.positions), len(plan._rows)) for plan in plans) == [(1, 1), (3, 3)]
    for p, q in zip(ours, theirs, strict=True):
        assert torch.allclose(p, q, rtol=1e-5, atol=1e-6)


def test_a_group_may_be_replaced():
    """Another dict with the same parameters: its settings count, not those of the one that was there."""
    [p] = parameters([(3,)], torch.float32)
    optimizer = optim.SGD([p], lr=1.0)
    before = p.detach().clone()
    for lr, expected in ((1.0, 1.0), (0.5, 1.5)):
        optimizer.param_groups = [{**optimizer.param_groups[0], "lr": lr}]
        p.grad = torch.ones(3)
        optimizer.step()
        assert torch.allclose(p, before - expected)


def test_ages_may_part_and_meet_again():
    """Two step counts, written by the user: rows are formed anew, also when they become fewer."""
    a, b = parameters([(6,), (4,)], torch.float32), parameters([(6,), (4,)], torch.float32)
    mine, other = optim.NAdam(a), torch.optim.NAdam(b)
    for step, values in enumerate(gradients([(6,), (4,)], 6, torch.float32)):
        for optimizer, params in ((mine, a), (other, b)):
            for p, g in zip(params, values, strict=True):
                p.grad = g.clone()
            if step in (2, 4):
                optimizer.state[params[0]]["step"].fill_(40.0 if step == 2 else 4.0)
                if step == 4:
                    for name in ("mu_product",):
                        optimizer.state[params[0]][name].copy_(optimizer.state[params[1]][name])
            optimizer.step()
        for p, q in zip(a, b, strict=True):
            assert torch.allclose(p, q, rtol=1e-5, atol=1e-6), step


def test_a_parameter_that_becomes_double_is_stepped_in_double():
    model = torch.nn.Linear(3, 2)
    optimizer = optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    model.double()
    optimizer.zero_grad()
    model(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert {value.dtype for value in optimizer.state[model.weight].values() if value.dim()} == {torch.float64}


def test_gradients_are_not_held_after_the_step():
    """What zero_grad() lets go is free before the next backward pass."""
    [p] = parameters([(4,)], torch.float32)
    optimizer = optim.Adam([p])
    p.grad = torch.ones(4)
    watch = weakref.ref(p.grad.untyped_storage())
    optimizer.step()
    optimizer.zero_grad()
    gc.collect()
    assert watch() is None


def test_a_step_is_seen_by_autograd():
    """A graph that was built on the old values refuses to run backward on the new ones, as with torch's own."""
    w = torch.nn.Parameter(torch.ones(3))
    x = torch.ones(3, requires_grad=True)
    loss = (w * x).sum()
    loss.backward(retain_graph=True)
    optim.SGD([w], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_group_without_parameters_that_need_gradients_is_stepped_over():
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = optim.Adam([p])
    assert optimizer.step() is None
    assert torch.equal(p, torch.ones(2)) and not optimizer.state


# -- slips ------------------------------------------------------------------------------------------------------------

P = [torch.nn.Parameter(torch.ones(2))]
SLIPS = [
    ("SGD", {"lr": -0.5}, "Invalid learning rate: -0.5"),
    ("SGD", {"momentum": -0.5}, "Invalid momentum value: -0.5"),
    ("SGD", {"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
    ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
    (
        "SGD",
        {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
        "Nesterov momentum requires a momentum and zero dampening",
    ),
    ("Adam", {"lr": -1}, "Invalid learning rate: -1"),
    ("Adam", {"lr": math.nan}, "Invalid learning rate: nan"),
    ("Adam", {"lr": "0.1"}, "Invalid learning rate: '0.1'"),
    ("Adam", {"lr": torch.tensor([1.0, 2.0])}, "Tensor lr must be 1-element"),
    ("Adam", {"betas": (1.0, 0.999)}, "Invalid beta parameter at index 0: 1.0"),
    ("Adam", {"betas": (0.0, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
    ("Adam", {"betas": 0.9}, "Invalid betas: 0.9 (betas must be 2 numbers, 0 <= each < 1)"),
    ("Adam", {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
    ("Adam", {"bias_correction": "no"}, "Invalid bias_correction value: 'no'"),
    ("Adam", {"foreach": True, "fused": True}, "cannot be `True` together"),
    ("Adagrad", {"lr_decay": -1.0}, "Invalid lr_decay value: -1.0"),
    ("Adagrad", {"initial_accumulator_value": -1.0}, "Invalid initial_accumulator_value value: -1.0"),
    ("Adadelta", {"rho": 1.1}, "Invalid rho value: 1.1"),
    ("RMSprop", {"alpha": -0.1}, "Invalid alpha value: -0.1"),
    ("NAdam", {"momentum_decay": -0.2}, "Invalid momentum_decay value: -0.2"),
    ("RAdam", {"rectify_above": 3.0}, "Invalid rectify_above value: 3.0"),
    ("Rprop", {"etas": (1.0, 0.5)}, "Invalid eta values: 1.0, 0.5 (must be 0 < etas[0] < 1 < etas[1])"),
    ("Rprop", {"etas": (-0.5, 1.2)}, "Invalid eta values at index 0: -0.5"),
    ("Rprop", {"step_sizes": (1.0, 0.1)}, "Invalid step_sizes values: 1.0, 0.1"),
    ("ASGD", {"weight_decay": -0.5}, "Invalid weight_decay value: -0.5"),
    ("ASGD", {"lambd": -1.0}, "Invalid lambd value: -1.0"),
    ("Adan", {"betas": (0.9, 0.99)}, "Invalid betas: (0.9, 0.99) (betas must be 3 numbers, 0 <= each < 1)"),
    ("Adan", {"betas": (0.9, 0.99, 1.0)}, "Invalid beta parameter at index 2: 1.0"),
    ("AdEMAMix", {"betas": (0.0, 0.9, 0.99), "t_warmup": 5}, "t_warmup=5 needs betas[0] > 0 and betas[2] > 0"),
    ("QHAdam", {"nus": (0.7, 1.5)}, "Invalid nu parameter at index 1: 1.5 (must be a number, 0 <= nus[1] <= 1)"),
    (
        "Adan",
        {"decoupled_weight_decay": True},
        "adan has a weight decay of its own; allowed is False",
    ),
    ("ADOPT", {"clip": 1.0}, "Invalid clip value: 1.0 (must be True or False)"),
]


@pytest.mark.parametrize(("name", "settings", "message"), SLIPS, ids=str)
def test_a_setting_that_is_not_allowed_is_refused(name, settings, message):
    """By the constructor and by a group; with torch's words, and what is allowed."""
    with pytest.raises((ValueError, RuntimeError)) as told:
        CLASSES[name](P, **settings)
    assert message in str(told.value)
    with pytest.raises((ValueError, RuntimeError)) as told:
        CLASSES[name]([{"params": P, **settings}])
    assert message in str(told.value)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_refuses_a_negative_rate_an_unknown_word_and_an_empty_list(name):
    with pytest.raises(ValueError, match=r"Invalid learning rate: -0.1 \(must be a number, lr >= 0\)"):
        CLASSES[name](P, lr=-0.1)
    with pytest.raises(
        TypeError, match=f"{name}: got an unexpected keyword argument 'learning_rate'; the settings are lr, "
    ):
        CLASSES[name](P, learning_rate=0.1)
    with pytest.raises(ValueError, match="empty parameter list"):
        CLASSES[name]([])
    with pytest.raises(ValueError, match="did you mean 'weight_decay'"):
        CLASSES[name]([{"params": P, "weight_decays": 0.1}])


def test_a_group_may_hold_keys_of_the_users_own():
    optimizer = optim.Adam([{"params": P, "name": "head", "lr_scale": 0.5}])
    assert optimizer.param_groups[0]["name"] == "head"


def test_a_refused_optimizer_leaves_nothing_behind():
    optimizer = optim.Adam(P)
    with pytest.raises(ValueError):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": -1.0})
    assert len(optimizer.param_groups) == 1


# -- the catalogue ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_an_entry_builds_the_rule_it_names(entry):
    optimizer = entry.build(P if entry.takes_all else torch.nn.Linear(1, 1, bias=False).parameters())
    assert optimizer._rule(optimizer.param_groups[0]) is entry.rule
    low, high = entry.search("lr")
    assert 0 < low <= entry.default("lr") <= high
    assert entry.rule.source and entry.rule.title and entry.rule.equations
    pasted = eval(
        entry.line(lr=0.5), {"thalweg": __import__("thalweg"), "model": torch.nn.Linear(1, 1, bias=entry.takes_all)}
    )
    assert pasted.param_groups[0]["lr"] == 0.5 and pasted._rule(pasted.param_groups[0]) is entry.rule


def test_an_entry_is_found_by_name_or_class():
    assert Entry.of("adam") is CATALOGUE["adam"] is Entry.of(optim.Adam)
    foreign = Entry.of(torch.optim.ASGD)
    assert foreign.search("lr") == CATALOGUE["asgd"].search("lr") and foreign.default("lr") == 0.01
    assert Entry.of(torch.optim.LBFGS).search("lr") == (1e-5, 1e-1)  # the catalogue has none of it
    assert foreign.line(lr=0.5) == "torch.optim.ASGD(model.parameters(), lr=0.5)"
    with pytest.raises(ValueError, match="'adma' is neither .* nor in the catalogue; did you mean 'adam"):
        Entry.of("adma")


def test_an_entry_is_spelled_with_its_settings():
    entry = Entry.of("adam(bias_correction=False)")
    assert entry.name == "adam(bias_correction=False)" and entry.settings == {"bias_correction": False}
    assert entry.rule is CATALOGUE["adam"].rule and entry.build([torch.zeros(2, requires_grad=True)])
    torchs = Entry.of("torch.optim.SGD(momentum=0.9)")
    assert torchs.optimizer is torch.optim.SGD and torchs.default("momentum") == 0.9
    for text, message in (
        ("adam(biased=1)", "adam has no setting 'biased'"),
        ("adam(1)", "the brackets must hold name=value"),
        ("torch.optim.RAdm", "did you mean 'RAdam'"),
        ("no_such.py:Class", "optimizers: no file"),
    ):
        with pytest.raises(ValueError, match=message):
            Entry.of(text)
