"""Which configurations are tried: the protocol, the ranges of the hyperparameters, the samplers."""
