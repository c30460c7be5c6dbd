"""Conformance: laws that any `torch.optim.Optimizer` should keep, tried on it as a black box.

It knows nothing of this package's own optimizers: a class is made, stepped, saved and loaded as a script would.
"""
