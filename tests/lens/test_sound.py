"""Runs of other kinds than the planted suite's that are sound, and in which nothing must be found."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from lens import planted
from torch import nn

import thalweg

Steps = Iterator[Any]  # of each step its loss, or None


def draw(number, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(number))


def regression(number, rows=32):
    inputs = draw(number, rows, 8)
    return inputs, torch.stack([inputs[:, :3].sin().sum(1), inputs[:, 3] * inputs[:, 4], inputs[:, 5].abs()], 1)


def wide():
    return nn.Sequential(nn.Linear(8, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 3))


def fit(model, optimizer, steps, loss, first=0) -> Steps:
    for number in range(first, first + steps):
        optimizer.zero_grad()
        value = loss(model, number)
        value.backward()
        optimizer.step()
        yield value


def fits(model, number):
    inputs, wanted = regression(number)
    return nn.functional.mse_loss(model(inputs), wanted)


def a_wide_perceptron():
    model = wide()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    return optimizer, model, fit(model, optimizer, 50, fits)


def a_run_that_is_resumed(make: Callable[..., Any] = torch.optim.Adam, **settings):
    model = wide()
    before = make(model.parameters(), **{"lr": 1e-3} | settings)
    list(fit(model, before, 100, fits))
    optimizer = make(model.parameters(), **{"lr": 1e-3} | settings)
    optimizer.load_state_dict(before.state_dict())
    return optimizer, model, fit(model, optimizer, 50, fits, first=100)


def one_that_is_resumed_without_state():
    return a_run_that_is_resumed(torch.optim.SGD, lr=0.05)


class Block(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in range(2))
        self.past = nn.Conv2d(before, after, 1, stride, bias=False) if before != after else nn.Identity()

    def forward(self, x):
        inner = self.second(torch.relu(self.norms[0](self.first(x))))
        return torch.relu(self.norms[1](inner) + self.past(x))


def a_residual_network():
    """As ResNet-18 is built, narrower."""
    widths = [32, 32, 32, 64, 64, 128, 128, 256, 256]
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in pairwise(widths)]
    stem = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    patterns = draw(99, 10, 3, 16, 16)

    def loss(model, number):
        labels = torch.randint(10, (16,), generator=torch.Generator().manual_seed(number))
        return nn.functional.cross_entropy(model(patterns[labels] + draw(number, 16, 3, 16, 16)), labels)

    return optimizer, model, fit(model, optimizer, 12, loss)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.head = nn.Linear(16, 512), nn.Linear(512, 10)
        self.layer = nn.TransformerEncoderLayer(512, 8, 1024, 0.0, batch_first=True)

    def forward(self, x):
        return self.head(self.layer(self.read(x)).mean(1))


def a_wide_transformer():
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def loss(model, number):
        labels = torch.randint(10, (16,), generator=torch.Generator().manual_seed(number))
        return nn.functional.cross_entropy(model(draw(number, 16, 4, 16) + 2 * torch.eye(16)[labels][:, None]), labels)

    return optimizer, model, fit(model, optimizer, 20, loss)


def a_gans_discriminator():
    generator = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    model = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    makes, optimizer = (torch.optim.Adam(each.parameters(), lr=1e-2, betas=(0.5, 0.999)) for each in (generator, model))
    judge = nn.functional.binary_cross_entropy_with_logits

    def steps() -> Steps:
        for number in range(60):
            made, real = generator(draw(number, 32, 4)), draw(number + 1000, 32, 2) + 2
            optimizer.zero_grad()
            value = judge(model(real), torch.ones(32, 1)) + judge(model(made.detach()), torch.zeros(32, 1))
            value.backward()
            optimizer.step()
            makes.zero_grad()
            judge(model(made), torch.ones(32, 1)).backward()  # through the discriminator, whose gradients it adds to
            makes.step()
            yield None

    return optimizer, model, steps()


def digits(model, number, rows=32, loss=nn.functional.cross_entropy, inputs=lambda pixels: pixels):
    pixels, labels = planted.data()
    some = torch.randint(len(labels), (rows,), generator=torch.Generator().manual_seed(number))
    return loss(model(inputs(pixels[some])), labels[some])


def two_optimizers():
    model = planted.mlp()
    optimizer = torch.optim.Adam(model[:3].parameters(), lr=1e-2)
    other = torch.optim.SGD(model[3:].parameters(), lr=0.1)

    def steps() -> Steps:
        for number in range(60):
            optimizer.zero_grad()
            other.zero_grad()
            digits(model, number).backward()
            optimizer.step()
            other.step()
            yield None

    return optimizer, model, steps()


def layers_that_are_unfrozen():
    model = planted.mlp()
    model[:2].requires_grad_(False)
    optimizer = torch.optim.Adam(model[2:].parameters(), lr=1e-2)

    def steps() -> Steps:
        for number in range(100):
            if number == 50:
                model[:2].requires_grad_(True)
                optimizer.add_param_group({"params": model[:2].parameters(), "lr": 1e-3})
            optimizer.zero_grad()
            digits(model, number).backward()
            optimizer.step()
            yield None

    return optimizer, model, steps()


def layers_that_are_frozen():
    model = planted.mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def steps() -> Steps:
        for number in range(60):
            if number == 40:
                model[0].requires_grad_(False)
            optimizer.zero_grad()
            digits(model, number).backward()
            optimizer.step()
            yield None

    return optimizer, model, steps()


def lbfgs():
    model = planted.mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5)

    def steps() -> Steps:
        for _ in range(20):

            def closure():
                optimizer.zero_grad()
                value = digits(model, 0, 256)
                value.backward()
                return value

            optimizer.step(closure)
            yield None

    return optimizer, model, steps()


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(200, 16, sparse=True), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.words(x).mean(1))


def sparse_adam():
    model = Bag()
    optimizer = torch.optim.SparseAdam(model.words.parameters(), lr=1e-2)
    other = torch.optim.Adam(model.head.parameters(), lr=1e-2)

    def steps() -> Steps:
        for number in range(60):
            seed = torch.Generator().manual_seed(number)
            labels = torch.randint(4, (32,), generator=seed)
            words = 50 * labels[:, None] + torch.randint(50, (32, 8), generator=seed)
            optimizer.zero_grad()
            other.zero_grad()
            nn.functional.cross_entropy(model(words), labels).backward()
            optimizer.step()
            other.step()
            yield None

    return optimizer, model, steps()


def log_probabilities():
    """As the example of MNIST that everybody has seen: what the model returns are no logits."""
    model = nn.Sequential(planted.mlp(), nn.LogSoftmax(1))
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    return optimizer, model, fit(model, optimizer, 400, partial(digits, rows=64, loss=nn.functional.nll_loss))


def answers_far_from_zero():
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def loss(model, number):
        inputs = draw(number, 32, 8)
        return nn.functional.mse_loss(model(inputs), 50 + inputs[:, :3])

    return optimizer, model, fit(model, optimizer, 400, loss)


def two_views():
    model = planted.mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return optimizer, model, fit(model, optimizer, 60, lambda *given: digits(*given) + digits(given[0], 500 + given[1]))


def a_schedule_of_restarts(make=lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 50)):
    model = planted.mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    schedule = make(optimizer)

    def steps() -> Steps:
        for value in fit(model, optimizer, 120, digits):
            yield value
            schedule.step()

    return optimizer, model, steps()


def a_schedule_of_triangles():
    return a_schedule_of_restarts(lambda optimizer: torch.optim.lr_scheduler.CyclicLR(optimizer, 1e-5, 0.5, 15))


def a_critic():
    """Its loss has no least value, and its last bias no gradient."""
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)

    def loss(model, number):
        return model(draw(number, 64, 2) + number / 30).mean() - model(draw(number + 1000, 64, 2) + 2).mean()

    return optimizer, model, fit(model, optimizer, 90, loss)


def gradients_that_hooks_change():
    model = planted.mlp()
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: (p.grad.clamp_(-1e-3, 1e-3), None)[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return optimizer, model, fit(model, optimizer, 60, digits)


def inputs_that_are_normalized_inside():
    model = nn.Sequential(nn.BatchNorm1d(64), planted.mlp())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return (
        optimizer,
        model,
        fit(model, optimizer, 60, partial(digits, rows=64, inputs=lambda pixels: 100 + 30 * pixels)),
    )


def fine_tuning_in_small_batches():
    model = planted.mlp()
    list(fit(model, torch.optim.Adam(model.parameters(), lr=3e-3), 300, digits))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    return optimizer, model, fit(model, optimizer, 150, lambda model, number: digits(model, 5000 + number, 8))


def a_first_epoch():
    """A default that would like more steps, and is well on its way."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters())
    return optimizer, model, fit(model, optimizer, 60, partial(digits, rows=64))


def a_backbone_that_is_frozen():
    """And given to the optimizer all the same, as `model.parameters()` does."""
    model = planted.mlp()
    model[:2].requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return optimizer, model, fit(model, optimizer, 60, digits)


class Scales(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = planted.mlp()

    def forward(self, x):
        return self.inner((x - 100) / 30)


def inputs_that_are_scaled_inside():
    model = Scales()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return optimizer, model, fit(model, optimizer, 60, partial(digits, inputs=lambda pixels: 100 + 30 * pixels))


def a_gans_generator():
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    judges = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    optimizer, other = (
        torch.optim.Adam(each.parameters(), lr=lr, betas=(0.5, 0.999)) for each, lr in ((model, 1e-3), (judges, 1e-2))
    )
    judge = nn.functional.binary_cross_entropy_with_logits

    def steps() -> Steps:
        for number in range(120):
            made, real = model(draw(number, 32, 4)), draw(number + 1000, 32, 2) + 3
            other.zero_grad()
            (judge(judges(real), torch.ones(32, 1)) + judge(judges(made.detach()), torch.zeros(32, 1))).backward()
            other.step()
            optimizer.zero_grad()
            value = judge(judges(made), torch.ones(32, 1))
            value.backward()
            optimizer.step()
            yield value

    return optimizer, model, steps()


def q_learning():
    """Its targets are made by a copy of the model, which is replaced every 20 steps."""
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
    target, optimizer = copy.deepcopy(model), torch.optim.Adam(model.parameters(), lr=3e-3)

    def steps() -> Steps:
        for number in range(300):
            now, chosen = draw(number, 64, 4), draw(number + 1000, 64, 1) > 0
            with torch.no_grad():
                best = target(now.roll(1, 1)).max(1, keepdim=True).values
            optimizer.zero_grad()
            value = nn.functional.mse_loss(model(now).gather(1, chosen.long()), 1 + now[:, :1].tanh() + 0.95 * best)
            value.backward()
            optimizer.step()
            if number % 20 == 19:
                target.load_state_dict(model.state_dict())
            yield value

    return optimizer, model, steps()


def a_curriculum():
    model = wide()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def loss(model, number):
        inputs, wanted = regression(number)
        return nn.functional.mse_loss(model(inputs), wanted * (1 + number // 30))

    return optimizer, model, fit(model, optimizer, 180, loss)


def descent_that_has_arrived():
    """All data in each step, at the rate that is best for it: at the minimum steps are lost to rounding."""
    model, inputs = nn.Linear(16, 1), draw(1, 128, 16)
    wanted = inputs @ draw(2, 16, 1) + 0.5 * draw(3, 128, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    return optimizer, model, fit(model, optimizer, 200, lambda model, _: nn.functional.mse_loss(model(inputs), wanted))


class Adapter(nn.Module):
    """A linear layer that is frozen, and a product of two factors beside it, of which the second begins at zero."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, base.in_features) / rank**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, inputs):
        return self.base(inputs) + inputs @ self.down.T @ self.up.T


def low_rank_adapters():
    layers = [(Adapter(nn.Linear(64, 64)), nn.ReLU()) for _ in range(4)]
    model = nn.Sequential(*sum(layers, ()), Adapter(nn.Linear(64, 10)))
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    return optimizer, model, fit(model, optimizer, 150, digits)


def the_usual_decay_for_long():
    """On gains and biases too, as most recipes for images have it."""
    model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
    return optimizer, model, fit(model, optimizer, 1100, digits)


RUNS = (
    *(a_wide_perceptron, a_run_that_is_resumed, one_that_is_resumed_without_state, a_residual_network),
    *(a_wide_transformer, a_gans_discriminator, two_optimizers, layers_that_are_unfrozen, layers_that_are_frozen),
    *(lbfgs, sparse_adam, log_probabilities, answers_far_from_zero, two_views, a_critic),
    *(a_schedule_of_restarts, a_schedule_of_triangles),
    *(gradients_that_hooks_change, inputs_that_are_normalized_inside, fine_tuning_in_small_batches),
    *(a_first_epoch, a_backbone_that_is_frozen, inputs_that_are_scaled_inside, a_gans_generator, q_learning),
    *(a_curriculum, descent_that_has_arrived, low_rank_adapters, the_usual_decay_for_long),
)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__)
def test_nothing_is_found(run):
    torch.manual_seed(0)
    optimizer, model, steps = run()
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        for loss in steps:
            if loss is not None:
                seen.loss(loss)
    assert [str(finding) for finding in seen.findings] == []
    assert seen.record.steps >= 12


def test_what_a_group_brings_is_watched():
    torch.manual_seed(0)
    optimizer, model, steps = layers_that_are_unfrozen()
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        list(steps)
    assert set(seen.record.tensors[96]) == {name for name, _ in model.named_parameters()}
    assert set(seen.record.tensors[48]) < set(seen.record.tensors[96])


def test_a_layer_of_which_a_part_is_frozen_is_named():
    model = planted.mlp()
    model[0].weight.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with thalweg.lens(optimizer, model, quiet=True) as seen:
        list(fit(model, optimizer, 20, digits))
    (finding,) = seen.findings
    assert (finding.text, finding.where) == ("layer_never_moves.frozen", ("0.weight",))


def test_a_model_without_shapes_is_refused():
    model = nn.Sequential(nn.LazyLinear(4))
    with pytest.raises(ValueError, match=r"model: 0\.weight has no shape yet"):
        thalweg.lens(torch.optim.Adam(model.parameters()), model)
