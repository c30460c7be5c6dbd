"""Random numbers of a run as a function of its seed, the step and the call: the same alone and in lanes."""
