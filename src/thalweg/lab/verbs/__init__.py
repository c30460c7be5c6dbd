"""The verbs, each in its own file: compare, sweep, tune, range test, replay."""
