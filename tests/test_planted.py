"""Faults planted on purpose: the laws must see them. A law that no fault can break is worth nothing."""

import ast
import importlib.util
import inspect
import itertools

import pytest
import torch
from subjects import Subject

from test_oracle import TOLERANCE, distance_from_paper
from thalweg.catalogue import CATALOGUE, Entry
from thalweg.optimizers.factory import optimizer
from thalweg.rule.definition import Rule
from thalweg.rule.equations import RuleError


class Change(ast.NodeTransformer):
    """Change the n-th constant or operator."""

    def __init__(self, number: int) -> None:
        self.left, self.done = number, ""

    def _due(self) -> bool:
        self.left -= 1
        return self.left == -1

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if type(node.value) in (int, float) and self._due():
            self.done = f"constant {node.value}"
            return ast.copy_location(ast.Constant(node.value * 1.01 + 0.001), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        swap = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}.get(type(node.op))
        if swap and self._due():
            self.done = f"operator of {ast.unparse(node)}"
            node.op = swap()
        return node


def mutants(rule: Rule, folder):
    """The rule's file again and again, each time with one constant or operator of its own equations changed."""
    for function in filter(None, (rule.per_step, rule.per_tensor, rule.per_element)):
        module = inspect.getmodule(function)
        if not hasattr(module, rule.name):  # Adam's equations, shared by AMSGrad and AdamW: tried with Adam
            continue
        for number in itertools.count():
            tree = ast.parse(inspect.getsource(module))
            change = Change(number)
            [definition] = [node for node in tree.body if getattr(node, "name", "") == function.__name__]
            definition.body = [change.visit(line) for line in definition.body]
            if not change.done:
                break
            path = folder / f"{rule.name}_{function.__name__}_{number}.py"
            path.write_text(ast.unparse(tree))
            yield f"{function.__name__}: {change.done}", path


def load(path, name: str) -> Rule:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


class Mutant(Subject):
    """A subject whose class holds one rule alone: the switches that chose it are not settings of it."""

    def build(self, params, **more):
        settings = {**self.entry.settings, **self.settings}
        own = {key: value for key, value in settings.items() if key in self.entry.rule.hyperparameters}
        return self.entry.optimizer(params, **own, **more)


def sees(entry: Entry, path, settings) -> bool:
    """True where the law of test_oracle.py, or the definition's own checks, notice the fault."""
    try:
        rule = load(path, entry.rule.name)
        object.__setattr__(rule, "when", ())
        base = entry.optimizer.__mro__[1]  # the face: Optimizer, or what the rule needs of it
        mutant = Entry(entry.name, optimizer(rule, name="Mutant", base=base), entry.settings, rule)
        steps = (6, 20) if rule.matrices else (10, 60)  # most faults show at once
        return not all(distance_from_paper(Mutant(mutant, settings), count) < TOLERANCE for count in steps)
    except (RuleError, ArithmeticError, ValueError, TypeError, AssertionError):  # refused, or no longer finite
        return True
    except RuntimeError as error:  # a root of less than 0 is complex: torch refuses it as a number
        assert "cannot be converted" in str(error), error
        return True


# Settings under which every term counts.
SETTINGS = {
    "adagrad": [{"lr_decay": 0.05}],
    "momentum": [{"momentum": 0.9, "dampening": 0.3}],
    "adam": [{}, {"bias_correction": False}],
    "asgd": [{"lambd": 0.1, "t0": 10.0}],
    "adan": [{"weight_decay": 0.3}],
    "qhadam": [{"nus": (0.4, 0.8)}],
    "adabelief": [{"eps": 1e-3}],
    "ademamix": [{}, {"t_warmup": 40.0}],
    "schedule_free_sgd": [{"lr": 0.05, "warmup_steps": 20.0, "r": 1.0, "weight_decay": 0.2}],
    "schedule_free_adamw": [{"eps": 1e-3, "weight_decay": 0.2, "warmup_steps": 10.0, "r": 0.5}],
    "schedule_free_radam": [
        {"weight_decay": 0.2, "eps": 1e-3},
        {"silent_sgd_phase": False, "betas": (0.9, 0.78)},  # rho_5 = 4.03: on which side of it is the threshold?
    ],
    "prodigy": [
        {"d0": 1e-2, "eps": 1e-2, "weight_decay": 0.3, "use_bias_correction": True, "d_coef": 0.9, "lr": 0.7},
        {"d0": 1e-3, "growth_rate": 1.1},
        {"d0": 1e-2, "eps": 1e-2, "safeguard_warmup": True},
    ],
    "adahessian": [{"eps": 1e-2}, {"eps": 1e-2, "hessian_power": 0.7}, {"hessian_power": 0.0}, {"hessian_power": 5e-4}],
    "shampoo": [{"lr": 0.3, "eps": 0.1, "update_frequency": 3}],
    "soap": [{"eps": 1e-2, "betas": (0.8, 0.95), "weight_decay": 0.3, "precondition_frequency": 3}],
    "lars": [{"weight_decay": 0.3, "eps": 0.1}],
    "lamb": [{"weight_decay": 0.3, "eps": 1e-2}],
    "adafactor": [{"lr": 0.3, "weight_decay": 0.3}, {"lr": 0.3, "warmup_init": True}],
    "adafactor_momentum": [{"lr": 0.3, "weight_decay": 0.3}, {"lr": 0.3, "warmup_init": True}],
}
# A change that makes no difference to any step is no fault.
COUNTED = "whether there ever was a gradient decides; test_whole_tensors.py has the steps before the first one"
FIRST = "steps are whole: 1.5 stands for any number between the first and the second"
WHOLE = "steps are whole: more than 0 is more than 0.001"
HARMLESS = {
    ("radam", "per_element: constant 0.0"): "r_t is 0 or above 0.01: the margin of scale > 0 decides nothing",
    ("schedule_free_radam", "per_element: constant 0.0"): "root is 0, or 1 and more",
    ("prodigy", "per_element: constant 0.0"): COUNTED,
    ("adahessian", "per_element: constant 1.0"): "exp(log(d)) is d: the comparison spares the way there",
    ("soap", "per_step: constant 0"): WHOLE,
    ("soap", "per_tensor: constant 0"): WHOLE,
    ("adan", "per_element: constant 1.5"): FIRST,
    ("adopt", "per_element: constant 1.5"): FIRST,
    ("lion", "per_element: operator of eta * u"): "u is 1 or -1: eta / u is eta * u",
}


@pytest.mark.parametrize("name", [entry.name for entry in CATALOGUE.values() if entry.takes_dense and entry.takes_all])
def test_every_planted_fault_in_the_equations_is_seen(name, tmp_path):
    """Each constant and each operator of each rule, one at a time, judged by the law of test_oracle.py."""
    entry, settings = CATALOGUE[name], SETTINGS.get(name, [{}])
    torch.set_default_dtype(torch.float64)
    try:
        assert all(distance_from_paper(Subject(entry, each)) < TOLERANCE for each in settings)
        planted = mutants(entry.rule, tmp_path)
        missed = [fault for fault, path in planted if not any(sees(entry, path, each) for each in settings)]
    finally:
        torch.set_default_dtype(torch.float32)
    assert [fault for fault in missed if (name, fault) not in HARMLESS] == []
    assert name in ("adamw", "adamw_amsgrad") or len(list(tmp_path.iterdir())) >= 1, "nothing was planted"
