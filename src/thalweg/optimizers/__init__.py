"""`torch.optim.Optimizer` classes made from rules: the step, clipping, checkpoints, and what some rules need beside."""
