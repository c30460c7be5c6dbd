"""States as their users handle them: shared, saved alone, swapped, projected, made where no gradient is followed."""

import copy
import io

import pytest
import torch
from subjects import DEVICE, FAST, PLAIN, give

import thalweg.optim as optim
from thalweg.plan.counters import Ages

ENGINES = ["reference", FAST]


def stepped(optimizer, steps=1, seed=0):
    for step in range(steps):
        generator = torch.Generator().manual_seed(seed + step)
        for group in optimizer.param_groups:
            for p in group["params"]:
                give(optimizer, p, torch.randn(p.shape, generator=generator).to(p.dtype))
        optimizer.step()
    return optimizer


def saved_size(state):
    file = io.BytesIO()
    torch.save(state, file)
    return len(file.getvalue())


# -- shared between processes ------------------------------------------------------------------------------------------


def share(optimizer):
    """As examples of A3C do it, before they start their processes."""
    for state in optimizer.state.values():
        for value in state.values():
            value.share_memory_()
    return optimizer


@pytest.mark.skipif(DEVICE.type != "cpu", reason="of a GPU's memory all is shared")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_shared_states_stay_shared_and_step_as_others_do(subject, engine):
    def run(shared):
        params = [torch.nn.Parameter(torch.linspace(1, 2, 6).view(2, 3)), torch.nn.Parameter(torch.ones(3))]
        optimizer = stepped(subject.build(params, engine=engine))
        if shared:
            share(optimizer)
        held = {(at, name): value for at, p in enumerate(params) for name, value in optimizer.state.get(p, {}).items()}
        stepped(optimizer, 3, seed=1)
        return optimizer, params, held

    optimizer, params, held = run(True)
    plain, expected, _ = run(False)
    assert all(map(torch.equal, params, expected))
    for (at, name), value in held.items():
        assert optimizer.state[params[at]][name] is value and value.is_shared()
        assert torch.equal(value, plain.state[expected[at]][name].to(value.dtype)), name


@pytest.mark.skipif(DEVICE.type != "cpu", reason="of a GPU's memory all is shared")
@pytest.mark.parametrize("engine", ENGINES)
def test_steps_that_another_process_counts_are_counted(engine):
    """Two optimizers over one state, as two processes have them: each goes on from where both have come to."""
    p = torch.nn.Parameter(torch.ones(4))
    one = share(stepped(optim.Adam([p], engine=engine)))
    two = optim.Adam([p], engine=engine)
    two.state[p] = one.state[p]
    q = torch.nn.Parameter(torch.ones(4))
    alone = stepped(optim.Adam([q], engine=engine))
    for step in range(6):
        stepped((one, two)[step % 2], seed=step + 1)
        stepped(alone, seed=step + 1)
    assert one.state[p]["step"] == 7 and torch.equal(p, q)


@pytest.mark.skipif(DEVICE.type != "cpu", reason="of a GPU's memory all is shared")
def test_a_shared_step_is_one_of_ones_own_shape_and_dtype():
    """Written by hand: `torch.zeros(1)`, in float32."""
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = optim.Adam([p])
    step = torch.zeros(1).share_memory_()
    moments = {name: torch.zeros(4).share_memory_() for name in ("exp_avg", "exp_avg_sq")}
    optimizer.state[p] = {"step": step, **moments}
    stepped(optimizer, 3)
    assert optimizer.state[p]["step"] is step and step.tolist() == [3.0] and step.is_shared()


@pytest.mark.skipif(DEVICE.type != "cpu", reason="of a GPU's memory all is shared")
def test_a_step_that_fails_has_not_been_counted_in_shared_memory():
    p = torch.nn.Parameter(torch.ones(4))
    optimizer = share(stepped(optim.Adam([p])))
    step, optimizer.param_groups[0]["lr"] = optimizer.state[p]["step"], "none"
    with pytest.raises((TypeError, ValueError)):
        stepped(optimizer)
    assert step == 1
    optimizer.param_groups[0]["lr"] = 1e-3
    assert stepped(optimizer).state[p]["step"] is step and step == 2


# -- saved alone, swapped ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"capturable": True}], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_one_state_saved_alone_does_not_carry_all(engine, settings):
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(2000)]
    optimizer = optim.Adam(params, engine=engine, **settings)
    for p in params:
        p.grad = torch.ones(2)
    optimizer.step()
    lone = stepped(optim.Adam(params[:1], engine=engine, **settings))
    assert saved_size(optimizer.state[params[7]]) == saved_size(lone.state[params[0]]) < 4000


def test_numbers_in_a_buffer_on_a_device_are_tensors_of_their_own():
    """Views of it that share its memory, and have the memory of one number."""
    ages = Ages(1000, ["ratio"], torch.device(DEVICE))
    view = ages.view(1, 700)
    ages.tensor[1, 700] = 3.5
    assert view == 3.5 and view.dim() == 0 and view.device.type == DEVICE.type
    assert view.untyped_storage().nbytes() == 8 and saved_size(view) < 2000
    view.fill_(4.5)
    del view
    assert ages.tensor[1, 700] == 4.5 and (ages.tensor.count_nonzero() == 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_states_can_be_swapped_between_two_steps(engine):
    def run(swap):
        p = torch.nn.Parameter(torch.linspace(1, 2, 6))
        optimizer = stepped(optim.Adam([p], engine=engine), 2)
        if swap:
            for value in optimizer.state[p].values():
                torch.utils.swap_tensors(value, value.clone())
        return stepped(optimizer, 2, seed=2), p

    (optimizer, p), (plain, q) = run(True), run(False)
    assert torch.equal(p, q) and optimizer.state[p]["step"] == plain.state[q]["step"] == 4
    assert torch.equal(optimizer.state[p]["exp_avg"], plain.state[q]["exp_avg"])


# -- where no gradient is followed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("small", ["float32", "int8"])
@pytest.mark.parametrize(
    "subject", [each for each in PLAIN if each.entry.name != "adahessian"], ids=str
)  # needs graphs
def test_states_made_in_inference_mode_go_on_outside(subject, small, engine):
    if small != "float32" and not subject.entry.rule.moments:
        small = "float32"

    def run(inside):
        settings = {"state_dtype": small} if small != "float32" else {}
        p = torch.nn.Parameter(torch.linspace(1, 2, 70 * 64).view(70, 64))
        optimizer = subject.build([p], engine=engine, **settings)
        with torch.inference_mode(inside):
            stepped(optimizer)
            saved = optimizer.state_dict()
            again = subject.build([p], engine=engine, **settings)
            again.load_state_dict(saved)
        stepped(optimizer, seed=1)
        for value in optimizer.state.get(p, {}).values():
            value.add_(0)  # as a user would
        stepped(again, seed=2)
        return p

    assert torch.equal(run(True), run(False))


@pytest.mark.parametrize("subject", PLAIN, ids=str)
def test_a_frozen_parameter_without_memory_is_left_alone(subject):
    """FSDP gives storage back; what has no gradient is not asked for it."""
    p, frozen = (torch.nn.Parameter(torch.ones(3, 4)) for _ in range(2))
    frozen.requires_grad_(False)
    nowhere = torch.nn.Parameter(torch.ones(5, device="meta"), requires_grad=False)
    optimizer = subject.build([frozen, p, nowhere])
    frozen.untyped_storage().resize_(0)
    for step in range(8):
        give(optimizer, p, torch.full((3, 4), 1.0 + step))
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    give(optimizer, p, torch.ones(3, 4))
    optimizer.step()
    moved, ages = (
        bool((p != 1).any()),
        [float(optimizer.state.get(each, {}).get("step", 0)) for each in (frozen, nowhere)],
    )
    assert moved and ages == [0.0, 0.0]  # a frozen one is not printed: it has no numbers


# -- projected ---------------------------------------------------------------------------------------------------------


class Projected:
    """GaLore around any optimizer: it steps the projection of each gradient, at a place of its own."""

    def __init__(self, optimizer, rank):
        self.inner, self.rank = optimizer, rank

    def step(self, gradients):
        [group] = self.inner.param_groups
        whole = [p.data for p in group["params"]]
        for p, g in zip(group["params"], gradients, strict=True):
            p.data, p.grad = torch.zeros(self.rank, g.shape[1]), None
            p.grad = g[: self.rank].clone()
        self.inner.step()
        for p, held in zip(group["params"], whole, strict=True):
            moved, p.grad = p.data, None
            p.data = held
            p.data[: self.rank] += moved


@pytest.mark.parametrize("kind", [torch.optim.AdamW, optim.AdamW])
def test_a_projected_state_is_loaded_beside_a_whole_parameter(kind):
    """As galore_torch has it: moments of shape (rank, n), where the parameter is (m, n), and `rank` in the group."""
    given = [[torch.randn(6, 4, generator=torch.Generator().manual_seed(seed))] for seed in range(4)]

    def made(values):
        p = torch.nn.Parameter(values.clone())
        group = {"params": [p], "rank": 2, "update_proj_gap": 200, "scale": 0.25, "proj_type": "std"}
        return p, Projected(kind([group], lr=0.1), 2)

    p, whole = made(torch.ones(6, 4))
    for gradients in given[:2]:
        whole.step(gradients)
    q, resumed = made(p.detach())
    resumed.inner.load_state_dict(copy.deepcopy(whole.inner.state_dict()))
    for gradients in given[2:]:
        whole.step(gradients)
        resumed.step(gradients)
    assert torch.equal(p, q) and resumed.inner.state[q]["exp_avg"].shape == (2, 4)


def test_a_step_at_a_whole_parameter_with_a_projected_state_is_refused_before_anything_has_moved():
    params = [torch.nn.Parameter(torch.ones(6, 4)) for _ in range(2)]
    optimizer = stepped(optim.AdamW([{"params": params, "rank": 2}]))
    saved = optimizer.state_dict()
    for name in ("exp_avg", "exp_avg_sq"):
        saved["state"][1][name] = saved["state"][1][name][:2]
    optimizer.load_state_dict(saved)
    before = [p.detach().clone() for p in params]
    with pytest.raises(RuntimeError, match=r"exp_avg.*\(2, 4\).*\(6, 4\).*rank.*GaLore"):
        stepped(optimizer)
    assert all(map(torch.equal, params, before))
    assert [optimizer.state[p]["step"] for p in params] == [1, 1]


def test_without_a_rank_it_is_another_models():
    p = torch.nn.Parameter(torch.ones(6, 4))
    optimizer = stepped(optim.AdamW([p]))
    saved = optimizer.state_dict()
    for name in ("exp_avg", "exp_avg_sq"):
        saved["state"][0][name] = saved["state"][0][name][:2]
    with pytest.raises(RuntimeError, match="another model"):
        optimizer.load_state_dict(saved)
