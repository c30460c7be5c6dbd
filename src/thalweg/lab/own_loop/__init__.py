"""Training loops of the user's own, a function or a command, as what a study can run."""
