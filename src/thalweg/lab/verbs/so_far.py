"""What a search found, told before the fresh seeds decide: whoever waits can act on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from thalweg.lab.arguments import several
from thalweg.lab.judging.wording.numbers import Unit
from thalweg.lab.search.configurations import candidates_of, ranked
from thalweg.lab.study.campaign import Campaign
from thalweg.lab.training.job import Job
from thalweg.lab.training.trial import at_values


def tell(campaign: Campaign, finals: Sequence[Job]) -> None:
    """The best of the search, where runs on fresh seeds are still to come; nothing where no configuration ended."""
    searched = [trial for trial in campaign.asked.values() if trial.phase == "search"]
    names = dict.fromkeys(trial.optimizer for trial in searched)
    found = [one for name in names for one in candidates_of(trial for trial in searched if trial.optimizer == name)]
    best = next(iter(ranked(found, campaign.task.larger_is_better)), None)
    if best is None or math.isnan(best.metric) or not campaign.waiting(finals):
        return
    task = campaign.study.spec["task"]
    one, unit = best.trials[0], Unit.of(task)
    settings = {**best.settings, **({} if one.batch_size is None else {"batch_size": one.batch_size})}
    seeds = several(len({job.setting.seed for job in finals}), "fresh seed")
    campaign.say(
        f"so far the best: {one.optimizer}{at_values(settings)}, {unit.value(best.metric)} {unit.validation}, of "
        f"{several(len(found), 'configuration')}; now {seeds} to decide"
    )
