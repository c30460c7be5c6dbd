"""Adapters: what was written for another framework, as a task."""
