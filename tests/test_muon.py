"""Muon: against the paper in float64 and torch's class in float32; matrices of all kinds; and every setting of ours."""

import copy
import itertools
import warnings

import numpy as np
import pytest
import torch
from papers_matrix import by_singular_values
from papers_matrix import muon as paper

import thalweg
import thalweg.optim as optim
from thalweg.conformance.report import BREAKS
from thalweg.rules.muon import by_gram, orthogonal, step_by_step

THEIRS = getattr(torch.optim, "Muon", None)  # torch has it from 2.9 on
needs_torchs = pytest.mark.skipif(THEIRS is None, reason="this torch has no Muon")
SETTINGS = [
    {},
    {"nesterov": False, "weight_decay": 0.3},
    {"adjust_lr_fn": "match_rms_adamw", "momentum": 0.8},
    {"adjust_lr_fn": "original", "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3},
]
SHAPES = [(12, 8), (8, 12), (9, 9), (8, 12)]


def parameters(shapes=SHAPES, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)) for shape in shapes
    ]


def gradients(shapes=SHAPES, steps=200, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes] for _ in range(steps)]


def run(optimizer, params, given):
    for step in given:
        for p, g in zip(params, step, strict=True):
            p.grad = None if g is None else g.clone()
        optimizer.step()
    return [p.detach().clone() for p in params]


def in_bfloat16(x, ns_coefficients=(3.4445, -4.7750, 2.0315), ns_steps=5, eps=1e-7):
    """The steps as they are written, on one matrix, rounded as torch rounds them."""
    a, b, c = ns_coefficients
    x = torch.from_numpy(x).bfloat16()
    turned = x.shape[0] > x.shape[1]
    x = x.T if turned else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(ns_steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if turned else x).double().numpy()


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_the_papers_but_for_the_rounding_of_the_products(settings, engine):
    params, given = parameters(dtype=torch.float64), gradients(dtype=torch.float64)
    starts = [p.detach().numpy().copy() for p in params]
    made = run(optim.Muon(params, lr=0.02, engine=engine, **settings), params, given)
    for index, (ours, start) in enumerate(zip(made, starts, strict=True)):
        mine = [step[index].numpy() for step in given]
        rounded = paper(start, mine, lr=0.02, orthogonalize=in_bfloat16, **settings)
        np.testing.assert_allclose(ours.numpy(), rounded, rtol=1e-4, atol=1e-4)
        exact = paper(start, mine, lr=0.02, orthogonalize=by_singular_values, **settings)
        assert np.abs(ours.numpy() - exact).max() < 0.02 * np.abs(exact - start).max()


OF_THE_STEPS = [{}, {"ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5)}, {"eps": 10.0}]


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        *itertools.product([(12, 8), (8, 12), (9, 9)], OF_THE_STEPS),
        ((600, 520), {}),  # decomposing one takes a second
        ((520, 600), {"eps": 10.0}),
        ((800, 256), {}),  # by the Gram matrix
        ((256, 800), {"ns_steps": 2}),
    ],
    ids=str,
)
def test_in_double_precision_the_steps_are_a_polynomial_of_the_singular_values(shape, settings):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chosen = {"ns_coefficients": (3.4445, -4.7750, 2.0315), "eps": 1e-7, "ns_steps": 5, **settings}
    expected = by_singular_values(x.numpy(), **settings)
    for made in (orthogonal(x, *chosen.values()), orthogonal(torch.stack([x, x]), *chosen.values())[1]):
        np.testing.assert_allclose(made.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lowest", [0, -4])
def test_the_gram_matrix_loses_no_more_to_rounding_than_the_steps_as_they_are_written(lowest):
    """Also of a matrix whose singular values fall by 10,000."""
    coefficients, generator = (3.4445, -4.7750, 2.0315), torch.Generator().manual_seed(0)
    sides = [torch.linalg.qr(torch.randn(n, 256, generator=generator))[0] for n in (256, 800)]
    x = sides[0] @ torch.diag(torch.logspace(0, lowest, 256)) @ sides[1].T
    x = (x / x.norm()).bfloat16()
    exact = step_by_step(x.double(), coefficients, 5)
    lost = [((way(x, coefficients, 5) - exact).norm() / exact.norm()).item() for way in (by_gram, step_by_step)]
    assert lost[0] < max(1.2 * lost[1], 0.04)


@needs_torchs
@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_torchs_in_single_precision(settings, engine):
    mine, theirs, given = parameters(), parameters(), gradients()
    ours = run(optim.Muon(mine, lr=0.02, engine=engine, **settings), mine, given)
    for a, b in zip(ours, run(THEIRS(theirs, lr=0.02, **settings), theirs, given), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@needs_torchs
def test_checkpoints_go_both_ways():
    given = gradients(steps=20)
    mine, theirs = parameters(), parameters()
    ours, torchs = optim.Muon(mine, lr=0.02), THEIRS(theirs, lr=0.02)
    run(ours, mine, given[:10])
    run(torchs, theirs, given[:10])
    ours_saved, torchs_saved = copy.deepcopy(ours.state_dict()), copy.deepcopy(torchs.state_dict())
    assert ours_saved["state"][0].keys() == torchs_saved["state"][0].keys()
    ours.load_state_dict(torchs_saved)
    torchs.load_state_dict(optim.convert(ours_saved, from_="thalweg", to="torch"))
    for a, b in zip(run(ours, mine, given[10:]), run(torchs, theirs, given[10:]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_matrices_of_one_shape_step_at_once_as_they_do_alone():
    shapes = [(6, 10)] * 5
    together, given = parameters(shapes, torch.float64), gradients(shapes, 10, torch.float64)
    made = run(optim.Muon(together, lr=0.1), together, given)
    for index, p in enumerate(parameters(shapes, torch.float64)):
        (alone,) = run(optim.Muon([p], lr=0.1), [p], [[step[index]] for step in given])
        torch.testing.assert_close(made[index], alone, rtol=1e-12, atol=1e-12)


def test_one_without_a_gradient_waits_and_one_that_comes_late_is_as_old_as_it_is():
    params, given = parameters([(6, 4)] * 2, torch.float64), gradients([(6, 4)] * 2, 6, torch.float64)
    late = [[step[0], step[1] if index >= 3 else None] for index, step in enumerate(given)]
    start = params[1].detach().clone()
    optimizer = optim.Muon(params, lr=0.1)
    run(optimizer, params, late[:3])
    assert torch.equal(params[1], start) and params[1] not in optimizer.state
    run(optimizer, params, late[3:])
    alone = torch.nn.Parameter(start.clone())
    run(optim.Muon([alone], lr=0.1), [alone], [[step[1]] for step in late[3:]])
    torch.testing.assert_close(params[1], alone, rtol=1e-12, atol=1e-12)


def test_a_convolution_is_a_matrix_a_stack_is_many_and_rows_can_be_split():
    (conv,) = params = parameters([(8, 3, 2, 2)], torch.float64)
    given = gradients([(8, 3, 2, 2)], 5, torch.float64)
    flat = torch.nn.Parameter(conv.detach().flatten(1).clone())
    (made,) = run(optim.Muon(params, lr=0.1), params, given)
    (plain,) = run(optim.Muon([flat], lr=0.1), [flat], [[step[0].flatten(1)] for step in given])
    torch.testing.assert_close(made.flatten(1), plain, rtol=1e-12, atol=1e-12)

    (experts,) = params = parameters([(4, 6, 5)], torch.float64)
    given = gradients([(4, 6, 5)], 5, torch.float64)
    each = [torch.nn.Parameter(matrix.clone()) for matrix in experts.detach()]
    (made,) = run(optim.Muon(params, lr=0.1, stack_dims=1), params, given)
    apart = run(optim.Muon(each, lr=0.1), each, [list(step[0]) for step in given])
    torch.testing.assert_close(made, torch.stack(apart), rtol=1e-12, atol=1e-12)

    (qkv,) = params = parameters([(12, 5)], torch.float64)
    given = gradients([(12, 5)], 5, torch.float64)
    thirds = [torch.nn.Parameter(part.clone()) for part in qkv.detach().chunk(3)]
    (made,) = run(optim.Muon(params, lr=0.1, split=3), params, given)
    apart = run(optim.Muon(thirds, lr=0.1), thirds, [list(step[0].chunk(3)) for step in given])
    torch.testing.assert_close(made, torch.cat(apart), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "settings"), [((3,), {}), ((), {}), ((3, 4), {"stack_dims": 1}), ((5, 4), {"split": 3})]
)
def test_what_is_no_matrix_is_refused_when_it_is_given(shape, settings):
    with pytest.raises(ValueError, match="2D parameters|does not divide"):
        optim.Muon([torch.nn.Parameter(torch.ones(shape))], **settings)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rounding", ["stochastic", "master"])
def test_16_bit_weights_train(dtype, rounding):
    (p,) = params = parameters([(32, 32)], dtype)
    (wide,) = single = [torch.nn.Parameter(p.detach().float())]
    given = gradients([(32, 32)], 50, dtype)
    start = p.detach().clone()
    run(optim.Muon(params, lr=1e-3, rounding=rounding), params, given)
    run(optim.Muon(single, lr=1e-3), single, [[g.float() for g in step] for step in given])
    assert (p != start).float().mean() > 0.5
    spacing = float(torch.finfo(dtype).eps) * float(wide.detach().abs().max())
    assert (p.float() - wide).abs().max() < (2 * spacing if rounding == "master" else 10 * spacing)
    assert (p.float() - wide).mean().abs() < spacing / 4


def test_half_a_step_is_refused():
    with pytest.raises(ValueError, match="ns_steps: got 2.5; must be a whole number"):
        optim.Muon(parameters(), ns_steps=2.5)


def test_settings_of_ours_act():
    def stepped(given=None, **settings):
        (p,) = params = parameters([(6, 6)], torch.float64)
        run(optim.Muon(params, lr=0.1, **settings), params, given or gradients([(6, 6)], 3, torch.float64))
        return p.detach()

    plain = stepped()
    flipped = [[-g for g in step] for step in gradients([(6, 6)], 3, torch.float64)]
    torch.testing.assert_close(stepped(maximize=True, given=flipped), plain)
    assert not torch.equal(stepped(cautious=True), plain) and not torch.equal(stepped(weight_decay=1.0), plain)
    assert not torch.equal(stepped(decoupled_weight_decay=False), plain)
    assert torch.isfinite(stepped(clip_norm=1e-3)).all()
    nan = gradients([(6, 6)], 3, torch.float64)
    nan[1][0][2, 2] = float("nan")
    assert stepped(given=nan).isnan().all()  # never hidden
    assert torch.isfinite(stepped(given=nan, on_nonfinite="skip_step")).all()


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize(("small", "apart"), [("bfloat16", 0.03), ("int8", 0.3)])
def test_a_small_momentum_goes_about_the_same_way_and_checkpoints_cross(small, apart, engine):
    shapes = [(80, 64), (10, 10)]  # the second is too small to be kept small
    given = [[g + 0.3 for g in step] for step in gradients(shapes, 40)]
    full, params = parameters(shapes), parameters(shapes)
    start = [p.detach().clone() for p in params]
    run(optim.Muon(full, lr=0.02, weight_decay=0.0, engine=engine), full, given)
    optimizer = optim.Muon(params, lr=0.02, weight_decay=0.0, state_dtype=small, engine=engine)
    run(optimizer, params, given)
    large, little = (optimizer.state[p]["momentum_buffer"] for p in params)
    assert large.dtype == {"bfloat16": torch.bfloat16, "int8": torch.uint8}[small] and little.dtype == torch.float32
    assert 0 < (params[0] - full[0]).norm() < apart * (full[0] - start[0]).norm()
    assert torch.equal(params[1], full[1])

    def next_step(saved, **settings):
        copies = [torch.nn.Parameter(p.detach().clone()) for p in params]
        again = optim.Muon(copies, lr=0.02, weight_decay=0.0, engine=engine, **settings)
        again.load_state_dict(copy.deepcopy(saved))
        return run(again, copies, given[:1])

    resumed, wide = next_step(optimizer.state_dict(), state_dtype=small), next_step(optimizer.full_state_dict())
    torch.testing.assert_close(resumed[0], wide[0], rtol=1e-4, atol=1e-4)  # both from the same numbers
    torch.testing.assert_close(next_step(optimizer.state_dict())[0], wide[0], rtol=0, atol=0)
    assert all(map(torch.equal, run(optimizer, params, given[:1]), resumed))  # resumed to the bit


@pytest.mark.parametrize(
    "settings",
    [{"lr": -1.0}, {"momentum": -0.1}, {"adjust_lr_fn": "keller"}, {"ns_steps": 100}, {"ns_coefficients": (1.0, 2.0)},
     {"eps": -1e-7}, {"split": 0}, {"state_dtype": "int3"}],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings)) + "|learning rate|momentum"):
        optim.Muon(parameters(), **settings)


def test_it_lets_a_model_of_matrices_learn_and_resumes_to_the_bit():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32, bias=False), torch.nn.ReLU(), torch.nn.Linear(32, 4, bias=False))
    x, y = torch.randn(64, 8), torch.randint(0, 4, (64,))
    optimizer = optim.Muon(model.parameters(), lr=0.02)

    def steps(model, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        return loss.item()

    first = steps(model, optimizer, 1)
    again = copy.deepcopy(model)
    resumed = optim.Muon(again.parameters(), lr=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert steps(model, optimizer, 30) == steps(again, resumed, 30) < 0.8 * first


@pytest.mark.apart
def test_it_keeps_the_laws_of_an_optimizer():
    """The switches foreach and fused change nothing here, so one run stands for all."""
    report = thalweg.conform(optim.Muon, apart=False, foreach=None)
    assert [outcome.law for outcome in report.outcomes if outcome.status == BREAKS] == []
