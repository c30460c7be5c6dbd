"""The digits, looked at after each of the first 40 steps: what bias correction changes, it changes here."""

from dataclasses import replace

from thalweg.lab import load_task

task = replace(load_task("digits"), name="first_steps", steps=40, epochs=40, metric="loss")
