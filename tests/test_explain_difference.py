"""`explain_difference`: planted differences get their words, equals get none, and mistakes one clear line."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

import thalweg
from thalweg.differences import DifferenceError, explain_difference
from thalweg.lab.cli.commands import app


class Planted(torch.optim.Optimizer):
    """Adam with every known difference to choose from."""

    FAULTS: tuple[str, ...] = ()

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0, maximize=False):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize))

    @torch.no_grad()
    def step(self):
        has = self.FAULTS.__contains__
        for group in self.param_groups:
            lr, (beta1, beta2), eps, decay = group["lr"], group["betas"], group["eps"], group["weight_decay"]
            for p in group["params"]:
                state = self.state[p]
                g = p.grad.mul_(2).div_(2).add_(0.0)
                if has("overwrites") and decay:
                    g.add_(p, alpha=decay)
                elif has("decay alone"):
                    p.mul_(1 - decay)
                elif has("decay decoupled"):
                    p.mul_(1 - lr * decay)
                elif not has("no decay"):
                    g = g + decay * p
                if has("norm"):
                    g = g / g.norm()
                g = -g if group["maximize"] and not has("never climbs") else g
                t = state["t"] = state.get("t", 0) + 1
                m = state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * g
                v = state["v"] = beta2 * state.get("v", 0.5 * has("starts at 0.5")) + (1 - beta2) * g * g
                unbias1, unbias2 = (1.0, 1.0) if has("no correction") else (1 - beta1**t, 1 - beta2**t)
                if has("eps inside"):
                    update = m / unbias1 / (v / unbias2 + eps).sqrt()
                elif has("eps before"):
                    update = m / unbias1 / ((v.sqrt() + eps) / unbias2**0.5)
                else:
                    update = m / unbias1 / ((v / unbias2).sqrt() + eps)
                if has("linear"):
                    update = m
                if has("noise"):
                    update = update + torch.randn_like(p)
                if has("lr inside"):
                    update = state["b"] = 0.5 * state.get("b", 0.0) + lr * update
                else:
                    update = lr * update
                if has("scaled"):
                    update = update * p.norm()
                p.sub_(update.float() if has("float32") else update)
                if has("float32"):
                    p.copy_(p.float())


def planted(*faults: str) -> type[torch.optim.Optimizer]:
    return type("Planted", (Planted,), {"FAULTS": faults})


def told(first, second, **settings) -> dict[str, tuple[str | None, str | None]]:
    return {each.probe: (each.first, each.second) for each in explain_difference(first, second, **settings).differences}


OUTSIDE = "outside the root, after the bias correction"


@pytest.mark.parametrize(
    ("fault", "probe", "words"),
    [
        ("eps inside", "eps", (OUTSIDE, "inside the root, after the bias correction")),
        ("eps before", "eps", (OUTSIDE, "outside the root, before the bias correction")),
        ("no correction", "bias correction", ("of both moments", "no bias correction")),
        ("no correction", "first step at |g| = 1", ("1 lr", "1 lr")),
        ("starts at 0.5", "accumulator starts from", ("0", "0.5")),
        ("decay decoupled", "weight_decay", ("decay coupled", "decay decoupled, by lr * weight_decay")),
        ("decay alone", "weight_decay", ("decay coupled", "decay decoupled, by weight_decay alone")),
        ("no decay", "weight_decay", ("decay coupled", "without effect")),
        (
            "lr inside",
            "change of lr",
            ("lr multiplies the whole step", "lr inside the buffer: acts on new gradients only"),
        ),
        ("never climbs", "maximize", ("as the negated gradient", "not as the negated gradient")),
        ("overwrites", "p.grad after the step", ("left as they were", "overwritten (weight_decay)")),
        ("norm", "elements", ("each by itself", "act on one another")),
        ("scaled", "size of the parameter", ("without effect on the step", "multiplies the step")),
        ("linear", "size of the gradient", ("independent of the gradient's size", "proportional to the gradient")),
        ("float32", "arithmetic", ("float64", "rounded to float32")),
    ],
)
def test_a_planted_difference_gets_its_words(fault, probe, words):
    found = told(planted(), planted(fault))
    if words[0] == words[1]:  # with these betas (1 - 0.9) / sqrt(1 - 0.99) is 1: not to be seen in the first step
        assert probe not in found and found
    else:
        assert found[probe] == words


def test_probes_stay_silent_about_what_was_not_planted():
    assert set(told(planted(), planted("decay decoupled"))) == {"weight_decay"}
    assert set(told(planted(), planted("overwrites"))) == {"p.grad after the step"}
    assert set(told(planted(), planted("eps inside"))) == {"eps"}


@pytest.mark.parametrize(
    ("first", "second", "probe", "words"),
    [
        (torch.optim.Adam, thalweg.optim.AdamW, "weight_decay", "decay decoupled, by lr * weight_decay"),
        (torch.optim.SGD, thalweg.optim.ClassicalMomentum, "change of lr", "lr inside the buffer"),
        (torch.optim.SGD, torch.optim.ASGD, "change of lr", "lr acts one step late"),
        (torch.optim.SGD, torch.optim.Rprop, "change of lr", "lr without effect"),
        (torch.optim.Adam, "thalweg.optim.Adam(bias_correction=False)", "bias correction", "no bias correction"),
        (torch.optim.Adam, torch.optim.RAdam, "size of the gradient", "proportional to the gradient up to step 5"),
        (torch.optim.RAdam, "thalweg.optim.RAdam(rectify_above=4.0)", "size of the gradient", "up to step 4"),
        ("torch.optim.SGD(nesterov=True, momentum=0.9)", "thalweg.optim.SGD(momentum=0.9)", "momentum", "heavy ball"),
        ("thalweg.optim.SGD(momentum=0.9)", "torch.optim.SGD(nesterov=True, momentum=0.9)", "momentum", "Nesterov"),
        (
            torch.optim.Adagrad,
            "thalweg.optim:Adagrad(initial_accumulator_value=0.1)",
            "accumulator starts from",
            "0.1",
        ),
    ],
)
def test_known_pairs(first, second, probe, words):
    assert words in told(first, second)[probe][1]


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "Adamax", "RAdam"])
def test_no_difference(name):
    """A class and its double; Adam and ours take other roads of rounding to one place."""
    found = explain_difference(f"torch.optim.{name}", f"thalweg.optim.{name}")
    assert (found.parted, found.differences) == (None, ())
    assert "no difference in 100 steps" in str(found) and "No probe tells them apart." in str(found)
    assert "engine='reference'" in str(found)


def test_what_draws_numbers_draws_the_same():
    assert explain_difference(planted("noise"), planted("noise"), steps=3).parted is None


def test_rounding_is_no_parting():
    """A path in float32 is held to float32, whichever of the two takes it."""
    found = explain_difference(planted(), planted("float32"))
    assert found.parted is None and [each.probe for each in found.differences] == ["arithmetic"]
    assert explain_difference(planted("float32"), planted()).parted is None


def test_what_must_be_told_to_train_is_told():
    class Told(Planted):
        trains = False

        def train(self):
            self.trains = True

        def step(self):
            assert self.trains
            super().step()

    assert explain_difference(planted(), Told).parted is None


def test_a_class_that_chooses_its_own_lr_is_left_to_it():
    class Own(Planted):
        def __init__(self, params, lr=None, **settings):
            assert lr is None
            super().__init__(params, 1e-3, **settings)

    found = explain_difference(planted(), Own, steps=3)
    assert [each for each in found.findings if "refused" in f"{each.first}{each.second}"] == []
    assert {each.probe: each.first for each in found.findings}["first step at |g| = 1"] == "0.001"


def test_the_path_tells_where_and_how_far():
    found = explain_difference(planted(), planted("eps before"), steps=7, eps=1e-3)
    assert found.parted == 1 and found.apart[0] > found.apart[1] > 0 and "they part at step 1, by" in str(found)
    late = explain_difference("torch.optim.RAdam", "thalweg.optim.RAdam(rectify_above=4.0)")
    assert late.parted == 5  # rho_5 is 4.99: between the two thresholds
    assert explain_difference("torch.optim.RAdam", "thalweg.optim.RAdam(rectify_above=4.0)", steps=4).parted is None


def test_nan_is_a_difference():
    class Lost(Planted):
        def step(self):
            super().step()
            with torch.no_grad():
                self.param_groups[0]["params"][0].mul_(float("nan"))

    assert explain_difference(planted(), Lost, steps=2).parted == 1


def test_settings_are_shared_and_differences_of_signature_are_told():
    found = explain_difference("torch.optim.Adam(eps=1e-3)", "torch.optim.AdamW(lr=0.5)", amsgrad=True)
    assert found.shared == {"betas": (0.9, 0.999), "weight_decay": 0, "amsgrad": True, "maximize": False}
    assert found.defaults_that_differ["weight_decay"] == (0, 0.01)
    other = explain_difference("torch.optim.NAdam", "torch.optim.Adam")
    own, others = other.only
    assert own.pop("decoupled_weight_decay", False) is False  # where torch.optim.Adam has none: before 2.8
    assert (own, others) == ({"momentum_decay": 0.004}, {"amsgrad": False})
    assert "only A has  momentum_decay=0.004" in str(other)
    assert "default of lr: 0.002 in A, 0.001 in B" in str(other)


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["explain-difference", *words])
    return result.exit_code, result.stdout, result.stderr


def test_the_command():
    code, out, error = run("torch.optim.Adam", "torch.optim:AdamW", "--steps", "5")
    assert (code, error) == (0, "")
    assert "    B  decay decoupled, by lr * weight_decay\n" in out and "no difference in 5 steps" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("torch.optim.Adm", "torch.optim.Adam"), "first: got 'torch.optim.Adm': torch.optim has no 'Adm'; did you"),
        (("torch.optim.Adam", "nowhere.Adam"), "second: got 'nowhere.Adam': nowhere cannot be imported: No module"),
        (("Adam", "torch.optim.Adam"), "first: got 'Adam'; must be package.module.Class"),
        (("torch.optim.Adam", "math.sqrt"), "second: 'math.sqrt' is a builtin_function_or_method; must be a torch"),
        (("torch.optim.Adam(lr)", "torch.optim.Adam"), "the brackets must hold name=value"),
        (("torch.optim.Adam(beta=1)", "torch.optim.Adam"), "has no setting 'beta'; did you mean 'betas'? It has lr"),
        (("torch.optim.Adam(lr=-1)", "torch.optim.Adam"), "torch.optim.Adam(lr=-1): ValueError: Invalid learning"),
        (("torch.optim.LBFGS", "torch.optim.Adam"), "torch.optim.LBFGS: its step raised TypeError"),
        (("torch.optim.Adam", "torch.optim.Adam", "--steps", "0"), "steps: got 0; must be a whole number"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words, message):
    code, out, error = run(*words)
    assert (code, out) == (2, "") and message in error and error.count("\n") == 1 and error.startswith("thalweg: ")


def test_a_setting_that_neither_has():
    with pytest.raises(DifferenceError, match="rate=1: neither has this setting; they have"):
        thalweg.explain_difference(torch.optim.Adam, torch.optim.AdamW, rate=1)
