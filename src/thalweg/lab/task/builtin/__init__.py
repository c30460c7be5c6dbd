"""The built-in tasks, on data that is on every machine. What a listing says of them stands here: none is imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalweg.lab.task.task import Task


@dataclass(frozen=True)
class Listing:
    """A built-in task in a list: its data with their size, its metric, and how long one run usually takes.

    `usual_time` is of one core of a server of 2020 or newer; `extra` names what `pip install thalweg[...]` must bring.
    """

    name: str
    about: str
    metric: str
    usual_time: str
    extra: str = ""
    module: str = ""

    def load(self) -> Task:
        """The task itself."""
        own = self.name.replace("-", "_")
        home = import_module(f"{__name__}.{self.module or own}")
        task: Task = getattr(home, own)() if self.module else home.task()
        return replace(task, about=self.about, usual_time=self.usual_time)


def _surface(name: str, about: str) -> Listing:
    return Listing(name, about, "distance to the optimum", "0.2 s", module="surfaces")


def _mnist1d(model: str, about: str, usual_time: str) -> Listing:
    return Listing(f"mnist1d{model}", about, "accuracy", usual_time, module="mnist1d")


LISTINGS = (
    _mnist1d("", "8,000 one-dimensional digits of 40 points; a network of two hidden layers", "1 s"),
    _mnist1d("-cnn", "the same; three convolutions", "2 s"),
    _mnist1d("-logistic", "the same; logistic regression", "0.2 s"),
    Listing(
        "speech",
        "1,280 utterances of three to six synthetic phones; convolutions and a GRU, with CTC",
        "phone error rate",
        "6 s",
    ),
    Listing("digits", "1,797 handwritten digits of 8 x 8 pixels; a network of one hidden layer", "accuracy", "0.2 s"),
    Listing("digits-cnn", "the same digits, shifted at random; two convolutions with dropout", "accuracy", "1 s"),
    Listing("charlm", "540,672 characters of Python's library; a small transformer", "bits a character", "12 s"),
    Listing("sparse", "80,000 pairs of words of Python's library; sparse gradients", "accuracy", "2 s"),
    Listing("gan", "the digits; a generator and a critic, trained at once", "Fréchet distance", "1.5 s"),
    Listing("recsys", "129,348 counts of names in files of Python's library; matrix factorization", "rmse", "1.5 s"),
    Listing("diabetes", "442 people, ten measurements each; a perceptron", "rmse", "0.3 s", module="tabular"),
    Listing(
        "breast-cancer", "569 tumors, thirty measurements each; a perceptron", "accuracy", "0.3 s", module="tabular"
    ),
    Listing("noisy-labels", "the digits, 40 % of the training labels at random; a wide network", "accuracy", "0.5 s"),
    Listing(
        "rare-classes",
        "511 classes, the most frequent 256 times as frequent as the rarest; a linear model",
        "loss on rare classes",
        "0.3 s",
    ),
    Listing("photograph", "19,200 pixels; a network from places to colors", "peak signal to noise", "2 s"),
    Listing("recall", "3,072 rows of symbols to be said again after a pause; a GRU", "wrong symbols", "4 s"),
    Listing("rl", "CartPole, played anew in each step; policy gradient", "mean return", "5 s", extra="rl"),
    _surface("saddle", "two numbers near a saddle between two minima"),
    _surface("rosenbrock", "two numbers in Rosenbrock's curved valley"),
    _surface("beale", "two numbers on Beale's plateau with sharp walls"),
    _surface("quartic", "two numbers in x**4 + y**4, flat around its minimum"),
    _surface("ravine", "two numbers in a narrow valley, condition number 100, with noise in the gradient"),
    Listing("quadratic", "16 numbers; SGD's best lr is known: 2 / 110", "shrinking of the distance, a step", "0.02 s"),
)
BUILT_IN = {each.name: each for each in LISTINGS}
