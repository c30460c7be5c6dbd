"""Verbs: what one can ask, each a file that says all it asks in its signature (`verb.py`, `options.py`)."""
