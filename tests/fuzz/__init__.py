"""Random programs of what training scripts do between steps, played on our kernels, on the reference and on torch.

    python -m fuzz --programs 5000 --operations 20 --seed 0

`cases` has the optimizers, `sides` one way of running them, `gradients`, `changes`, `states` and `loops` the
operations, `verdict` what counts as a difference, `program` how programs are made, played and cut down.
"""
