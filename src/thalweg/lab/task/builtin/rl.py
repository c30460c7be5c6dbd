"""Policy gradient (Williams 1992) on CartPole: hold a pole upright for as long as possible, 500 moves at most.

A batch is 8 starts; each of the 80 training steps plays them anew with the present policy. 1 to 8 s a training, longer
the better it plays. The metric is the mean return over 16 starts kept for it, with the likelier move each time. Needs
gymnasium: `pip install thalweg[rl]`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.lab.errors import TaskError
from thalweg.lab.task.task import Task

MOVES, DISCOUNT = 500, 0.99


class Policy(nn.Module):
    """Four numbers that the cart shows; one that says how much rather to push it right than left."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, seen: Tensor) -> Tensor:
        rather: Tensor = self.layers(seen)[..., 0]
        return rather


def play(model: nn.Module, starts: Tensor, by_chance: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Play all games side by side: what was seen, which move was made, and in which game, for every move."""
    games = [_game() for _ in starts]
    seen = {place: game.reset(seed=int(starts[place]))[0] for place, game in enumerate(games)}
    chance = torch.rand(MOVES, len(games)).logit() if by_chance else torch.zeros(MOVES, len(games))
    views, choices, places = [], [], []
    for number in range(MOVES):
        view, place = torch.tensor([state.tolist() for state in seen.values()]), list(seen)
        with torch.no_grad():
            chosen = model(view) > chance[number, place]
        views.append(view)
        choices.append(chosen)
        places.append(torch.tensor(place))
        for each, right in zip(place, chosen.tolist(), strict=True):
            state, _, over, *_ = games[each].step(int(right))
            seen[each] = state
            if over:
                del seen[each]
        if not seen:
            break
    return torch.cat(views), torch.cat(choices), torch.cat(places)


def mean_return(model: nn.Module, batch: tuple[Tensor]) -> float:
    """Moves until the pole falls, with the likelier move each time."""
    return len(play(model, batch[0], by_chance=False)[0]) / len(batch[0])


def loss(model: nn.Module, batch: tuple[Tensor]) -> Tensor:
    """Its gradient is the policy gradient; its value, which that formula leaves open, is minus the mean return."""
    views, choices, places = play(model, batch[0], by_chance=True)
    value = (1 - DISCOUNT ** _moves_ahead(places)) / (1 - DISCOUNT)  # 1 for each move still to come, discounted
    advantage = (value - value.mean()) / (value.std() + 1e-6)
    likely = nn.functional.logsigmoid(torch.where(choices, 1.0, -1.0) * model(views))
    surrogate = -(advantage * likely).mean()
    return surrogate - surrogate.detach() - len(views) / len(batch[0])


def task() -> Task:
    """Starts are numbers that seed a game: 4,096 to train on, 16 to select, 32 to test.

    Raises:
        TaskError: without gymnasium.
    """
    _game()
    starts = torch.arange(4096 + 16 + 32)
    return Task(
        name="rl",
        model=Policy,
        loss=loss,
        metric=mean_return,
        direction="max",
        train=(starts[48:],),
        validation=(starts[:16],),
        test=(starts[16:48],),
        steps=80,
        epochs=8,
        batch_size=8,
    )


def _moves_ahead(places: Tensor) -> Tensor:
    """For each move how many its game has from it on, itself included. A game's moves are in their order."""
    ahead = torch.zeros(len(places))
    for place in range(int(places.max()) + 1):
        mine = places == place
        ahead[mine] = torch.arange(int(mine.sum()), 0, -1, dtype=ahead.dtype)
    return ahead


def _game() -> Any:
    try:
        from gymnasium.envs.classic_control import CartPoleEnv
    except ImportError:
        raise TaskError("task: rl needs gymnasium, which is not installed: pip install thalweg[rl]") from None
    return CartPoleEnv()
