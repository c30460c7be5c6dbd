"""The optimizers at play: races over surfaces of two numbers, as arrays, as pictures, as a page (`thalweg play`)."""

from thalweg.play.animate import animate
from thalweg.play.race import Race, race

__all__ = ["Race", "animate", "race"]
