"""Runners: a runner turns jobs into trials, each in its own way; the trials are the same."""

from thalweg.lab.runners.alone import Alone
from thalweg.lab.runners.choice import Choice, choose, runner_of
from thalweg.lab.runners.processes.runner import Processes
from thalweg.lab.runners.runner import Runner

__all__ = ["Alone", "Choice", "Processes", "Runner", "choose", "runner_of"]
